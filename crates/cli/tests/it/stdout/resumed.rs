//! Runs with a state file: each goes on where the last one ended, and whoever drops lines whose id he knows misses
//! nothing, whenever a run is killed.

use super::{LEFT, at, given, lines};
use crate::given::{Place, an_empty_place, given as a_shop, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tidewater_core::env::Env;

/// Who reads the lines and keeps a table by them, as `docs/stdout.md` says.
#[derive(Default)]
struct Reader {
    seen: BTreeSet<String>,
    rows: BTreeMap<String, String>,
    again: usize,
}

impl Reader {
    fn reads(&mut self, out: &str) {
        for line in lines(out) {
            let text = |value: &Value| value.as_str().map(str::to_owned).expect("a text");
            if !self.seen.insert(text(&line["id"])) {
                self.again += 1;
                continue;
            }
            let key = line["key"]["id"].to_string();
            match text(&line["op"]).as_str() {
                "delete" => drop(self.rows.remove(&key)),
                "truncate" => self.rows.clear(),
                _ => drop(self.rows.insert(key, text(&line["row"]["v"]))),
            }
        }
    }

    fn table(&self) -> String {
        let mut rows: Vec<String> = self.rows.iter().map(|(key, v)| format!("{key}|{v}")).collect();
        rows.sort_unstable();
        rows.join("\n")
    }
}

fn out(place: &Place, name: &str) -> String {
    String::from_utf8(place.bytes(name)).expect("UTF-8")
}

#[test]
fn the_next_run_prints_only_what_changed() {
    let (server, place) = given("CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    let url = server.url("shop");
    let sync = format!("sync {url} stdout: --state s --keep-slot");
    assert_eq!(lines(&place.tidewater(&sync).exits(0).says("take it out with").out).len(), 2);
    at(&server, "UPDATE t SET v = 'c' WHERE id = 2");
    let second = lines(&place.tidewater(&sync).exits(0).out);
    assert_eq!((second.len(), &second[0]["op"]), (1, &"update".into()), "{second:?}");
    assert_eq!(place.tidewater(&sync).exits(0).out, "");
    place.tidewater(&format!("status {url} stdout:?state=s")).exits(0).says("→ stdout:?state=s").says("following");
    let other = place.tidewater("sync sqlite:none.db stdout: --state s");
    other.exits(3).says("E0010");

    // Without --keep-slot the server keeps nothing for the next run, which says so and sends all rows.
    place.tidewater(&format!("sync {url} stdout: --state s")).exits(0).says("the replication slot was dropped");
    let anew = place.tidewater(&sync).exits(0).says("all rows are sent again");
    assert_eq!(lines(&anew.out).len(), 2);
    place.tidewater(&format!("teardown {url} stdout:?state=s")).exits(0).says("took out the state file s");
    assert_eq!((at(&server, LEFT), place.files()), ("0 slots, 0 publications".into(), vec![]));
}

#[test]
fn a_state_file_remembers_one_sync() {
    let place = a_shop("CREATE TABLE t(id INTEGER PRIMARY KEY);");
    place.sql("other.db", "CREATE TABLE t(id INTEGER PRIMARY KEY);");
    place.tidewater("sync sqlite:shop.db stdout: --state s").exits(0);
    let refused = place.tidewater("sync sqlite:other.db stdout: --state s").exits(2);
    refused.says("E0019 stdout:?state=s: the state file belongs to a sync from shop.db");
    place.file("s", "something else");
    place.tidewater("sync sqlite:shop.db stdout: --state s").exits(2).says("E0019 s is no state file");
    place.tidewater("sync sqlite:shop.db stdout: --state no/such/folder").exits(2).says("E0019");
}

#[test]
fn whoever_drops_known_ids_misses_nothing_of_a_server_whenever_a_run_is_killed() {
    let (server, place) = given(
        "CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 20000) n",
    );
    let dice = Env::seeded(20_261_123);
    let mut reader = Reader::default();
    let start = |flags: &str| {
        let url = server.url("shop");
        format!("exec tidewater sync '{url}' stdout: --state s {flags} >>out 2>>err")
    };
    for round in 0..12_u64 {
        let before = out_length(&place);
        let line = format!("{} & echo $! >pid; wait $!", start("--watch"));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| place.copies_and_runs(&line));
            let rows = dice.random.bits() % 3;
            for n in 0..=rows {
                let (a, b) = (dice.random.bits() % 20_000, dice.random.bits() % 100);
                at(&server, &format!("UPDATE t SET v = v || '{round}' WHERE id BETWEEN {a} AND {a} + 300"));
                at(
                    &server,
                    &format!("DELETE FROM t WHERE id = {a}; UPDATE t SET id = id + 100000 WHERE id = {b} + {n}"),
                );
            }
            until("something printed", || out_length(&place) > before);
            place.copies_and_runs("kill -KILL $(cat pid)").exits(0);
            running.join().expect("it has ended");
        });
    }
    place.copies_and_runs(&start("--keep-slot")).exits(0);
    reader.reads(&out(&place, "out"));
    let wanted = at(&server, "SELECT id || '|' || v FROM t ORDER BY (id || '|' || v) COLLATE \"C\"");
    assert!(reader.table() == wanted, "the reader's table differs");
    place.copies_and_runs(&format!("tidewater teardown '{}' 'stdout:?state=s'", server.url("shop"))).exits(0);
    assert_eq!(at(&server, LEFT), "0 slots, 0 publications");
}

fn out_length(place: &Place) -> u64 {
    std::fs::metadata(place.path("out")).map(|about| about.len()).unwrap_or_default()
}

#[test]
fn whoever_drops_known_ids_misses_nothing_of_a_file_whenever_a_run_is_killed() {
    let place = an_empty_place();
    place.sql(
        "shop.db",
        "PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
        WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 20000) INSERT INTO t SELECT n, 'v' || n FROM i;",
    );
    let dice = Env::seeded(7);
    for round in 0..12_u64 {
        let before = out_length(&place);
        let line = "exec tidewater sync sqlite:shop.db stdout: --state s --watch >>out 2>>err & echo $! >pid; wait $!";
        std::thread::scope(|scope| {
            let running = scope.spawn(|| place.copies_and_runs(line));
            for _ in 0..=dice.random.bits() % 3 {
                let a = dice.random.bits() % 20_000;
                place.sql(
                    "shop.db",
                    &format!(
                        "UPDATE t SET v = v || '{round}' WHERE id BETWEEN {a} AND {a} + 300; DELETE FROM t WHERE id = {a};
                        INSERT INTO t(v) SELECT 'new' || id FROM t LIMIT 50; UPDATE t SET v = 'last' WHERE id = (SELECT max(id) FROM t);"
                    ),
                );
            }
            until("something printed", || out_length(&place) > before);
            place.copies_and_runs("kill -KILL $(cat pid)").exits(0);
            running.join().expect("it has ended");
        });
    }
    place.copies_and_runs("tidewater sync sqlite:shop.db stdout: --state s >>out").exits(0);
    let mut reader = Reader::default();
    reader.reads(&out(&place, "out"));
    let wanted = place.sql("shop.db", "SELECT id || '|' || v AS line FROM t ORDER BY line;");
    assert!(reader.table() == wanted, "the reader's table differs");
    place.tidewater("teardown sqlite:shop.db stdout:?state=s").exits(0);
    assert_eq!(place.installed("shop.db"), "");
}

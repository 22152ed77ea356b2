//! Rows and changes printed as lines of JSON: what a line holds, that nothing is missing and nothing is left behind.
//! `stdout/resumed.rs` has runs that go on where others ended, and were killed.

mod resumed;

use crate::given::{Outcome, Place, an_empty_place, given as a_shop, until};
use serde_json::{Value, json};
use tidewater_testing::{Postgres, Release, Setup};

const LEFT: &str = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' slots, ' || \
    (SELECT count(*) FROM pg_publication) || ' publications'";

const KINDS: &str = "
CREATE TABLE kinds(id bigint PRIMARY KEY, yes boolean, small smallint, f8 double precision, f4 real, exact numeric,
  t text, b bytea, d date, at timestamptz, u uuid, j json, jb jsonb, list int[], nothing text);
INSERT INTO kinds VALUES (1, true, -7, 0.1, 'Infinity', 12.50, E'a\"\\\\\\n\\t\\x01\\u2028é🌊', '\\x00ff10', '2026-11-23',
  '2026-11-23 12:00+01', '00112233-4455-6677-8899-aabbccddeeff', '{\"a\":  1}', '{\"b\": [1, 2]}', '{1,NULL}', NULL),
  (9007199254740993, false, 0, 'NaN', 0.5, 'NaN', '', '', 'infinity', NULL, NULL, NULL, NULL, '{}', NULL);";

/// A server with a database `shop`, made by `sql`, and a folder.
fn given(sql: &str) -> (Postgres, Place) {
    let server = Postgres::start_with(&Setup::new(Release::Debian)).expect("a server");
    server.execute("CREATE DATABASE shop").expect("a database");
    at(&server, sql);
    (server, an_empty_place())
}

/// Another program works on the server.
#[track_caller]
fn at(server: &Postgres, sql: &str) -> String {
    server.execute_in("shop", sql).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

/// The lines that were printed: every one of them JSON.
#[track_caller]
fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The lines without what differs from run to run.
#[track_caller]
fn told(ended: &Outcome) -> Vec<Value> {
    let mut all = lines(&ended.out);
    for line in &mut all {
        let line = line.as_object_mut().expect("an object");
        for name in ["id", "position"] {
            let text = line.remove(name).unwrap_or_default();
            assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{name} in {line:?}");
        }
        line.remove("ts_ms");
    }
    all
}

#[test]
fn every_kind_of_value_is_printed_so_that_it_can_be_read_exactly() {
    let (server, place) = given(KINDS);
    let ended = place.tidewater(&format!("sync {} stdout:", server.url("shop"))).exits(0);
    let rows = told(&ended);
    assert_eq!(
        rows[0],
        json!({ "op": "snapshot", "table": "kinds", "key": { "id": 1 }, "row": {
            "id": 1, "yes": true, "small": -7, "f8": 0.1, "f4": "Infinity", "exact": "12.50",
            "t": "a\"\\\n\t\u{1}\u{2028}é🌊", "b": "AP8Q", "d": "2026-11-23", "at": "2026-11-23 11:00:00+00",
            "u": "00112233-4455-6677-8899-aabbccddeeff", "j": "{\"a\":  1}", "jb": "{\"b\": [1, 2]}",
            "list": "{1,NULL}", "nothing": null,
        } })
    );
    let second = &rows[1]["row"];
    assert_eq!((&second["id"], &second["f8"], &second["b"]), (&json!("9007199254740993"), &json!("NaN"), &json!("")));
    ended.says("in step").says("2 rows printed").never_says("Installed in");
    assert_eq!(at(&server, LEFT), "0 slots, 0 publications");
}

#[test]
fn values_of_sqlite_that_are_not_what_their_column_says_are_marked() {
    let place = a_shop(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, yes BOOLEAN, b BLOB, v);
        INSERT INTO t VALUES (1, 1, x'00ff', 1.5), (2, 7, 'text', x'ff'), (3, NULL, NULL, CAST(x'ff' AS TEXT));
        CREATE TABLE keyless(v); INSERT INTO keyless VALUES ('a');",
    );
    let ended = place.tidewater("sync sqlite:shop.db stdout: --json").exits(0);
    let rows: Vec<Value> = told(&ended).into_iter().map(|line| line["row"].clone()).collect();
    assert!(rows.contains(&json!({ "id": 1, "yes": true, "b": "AP8=", "v": 1.5 })), "{rows:?}");
    assert!(rows.contains(&json!({ "id": 2, "yes": 7, "b": { "text": "text" }, "v": { "base64": "/w==" } })));
    assert!(rows.contains(&json!({ "id": 3, "yes": null, "b": null, "v": { "base64": "/w==" } })));
    let report: Value = serde_json::from_str(&ended.err).expect("the report goes to standard error");
    assert_eq!((&report["rows_copied"], &report["in_step"]), (&json!(4), &json!(true)));
    assert_eq!(place.installed("shop.db"), "", "nothing is left behind");
    place.tidewater("sync sqlite:shop.db stdout: --once --tables keyless").exits(0).says("\"row\":{");
}

#[test]
fn a_watcher_prints_every_change_and_leaves_nothing_when_it_is_stopped() {
    let (server, place) = given(
        "CREATE TABLE t(id int PRIMARY KEY, v text, big text); CREATE TABLE other(id int PRIMARY KEY);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 'a', repeat('x', 100000));",
    );
    let url = server.url("shop");
    let watcher = place.starts(&format!("sync {url} stdout: --watch"));
    watcher.brings("the row that is there", || !watcher.out().is_empty());
    // The slot is being read.
    until("the stream", || at(&server, "SELECT count(*) FROM pg_stat_replication") == "1");
    at(
        &server,
        "BEGIN; INSERT INTO t VALUES (2, 'b'); UPDATE t SET v = 'c' WHERE id = 2; UPDATE t SET v = 'd' WHERE id = 2; COMMIT",
    );
    at(&server, "UPDATE t SET v = 'e' WHERE id = 1");
    at(&server, "UPDATE t SET id = 3 WHERE id = 2");
    at(&server, "DELETE FROM t WHERE id = 3");
    at(&server, "TRUNCATE t, other");
    watcher.brings("all of it", || watcher.out().matches("truncate").count() == 2);
    let ended = watcher.gets("TERM").ends().exits(0);

    let all = lines(&ended.out);
    let mut ids: Vec<&str> = all.iter().map(|line| line["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all.len(), "every line has an id of its own");
    assert!(all[1..].iter().all(|line| line["ts_ms"].as_i64().is_some_and(|ms| ms > 1_700_000_000_000)));
    assert!(all[1]["position"] == all[3]["position"] && all[3]["position"] != all[4]["position"], "a transaction");
    let row = |id: i32, v: &str| json!({ "id": id, "v": v, "big": null });
    let line = |op: &str, id: i32, row: Value| json!({ "op": op, "table": "t", "key": { "id": id }, "row": row });
    let gone = |id: i32| json!({ "op": "delete", "table": "t", "key": { "id": id } });
    let mut wanted = vec![
        line("insert", 2, row(2, "b")),
        line("update", 2, row(2, "c")),
        line("update", 2, row(2, "d")),
        json!({ "op": "update", "table": "t", "key": { "id": 1 }, "row": { "id": 1, "v": "e" }, "unchanged": ["big"] }),
        gone(2),
        line("insert", 3, row(3, "d")),
        gone(3),
    ];
    wanted.extend(["t", "other"].map(|table| json!({ "op": "truncate", "table": table })));
    let mut told = told(&ended).split_off(1);
    told[7..].sort_by_key(|line| std::cmp::Reverse(line["table"].to_string()));
    assert_eq!(told, wanted);
    assert_eq!(at(&server, LEFT), "0 slots, 0 publications");
}

#[test]
fn a_reader_that_has_enough_ends_the_run_without_a_word() {
    let (server, place) = given(
        "CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n",
    );
    let url = server.url("shop");
    let line = format!("( tidewater sync '{url}' stdout: --watch; echo $? >code ) | head -n 1");
    let ended = place.copies_and_runs(&line).exits(0);
    assert_eq!((lines(&ended.out).len(), ended.err.as_str()), (1, ""));
    assert_eq!(place.bytes("code"), b"141\n");
    assert_eq!(at(&server, LEFT), "0 slots, 0 publications");
}

#[test]
fn a_stop_does_not_wait_for_a_reader_that_reads_nothing() {
    let (server, place) = given(
        "CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n",
    );
    let url = server.url("shop");
    // The reader lives as long as its input is open at the other end, and takes nothing.
    let line = format!(
        "mkfifo pipe; exec 3<>pipe; tidewater sync '{url}' stdout: >pipe & \
         until grep -qs lines /proc/$!/task/*/comm; do :; done; kill -TERM $!; wait $!"
    );
    place.copies_and_runs(&line).exits(0);
    assert_eq!(at(&server, LEFT), "0 slots, 0 publications");
}

#[test]
fn tables_columns_and_rows_are_chosen_and_named_as_with_other_targets() {
    let (server, place) = given(
        "CREATE TABLE products(id int PRIMARY KEY, name text, cost int, store int); CREATE TABLE hidden(id int PRIMARY KEY);
        INSERT INTO products VALUES (1, 'Anchor', 5, 7), (2, 'Buoy', 4, 8); INSERT INTO hidden VALUES (1);",
    );
    place.file(
        "tidewater.toml",
        &format!(
            "[endpoint.hq]\nurl = \"{}\"\n[endpoint.out]\nurl = \"stdout:?state=out.state\"\nvars = {{ store = 7 }}\n\
             [sync.catalog]\ntables = [\"products\"]\nfrom = \"hq\"\nto = \"out\"\n[sync.catalog.table.products]\n\
             name = \"goods\"\nrename = {{ name = \"title\" }}\ncolumns = {{ exclude = [\"cost\"] }}\nwhere = \"store = :store\"\n",
            server.url("shop")
        ),
    );
    place.tidewater("plan").exits(0).says("how far it came (the state file)");
    let first = place.tidewater("run --until-in-step").exits(0);
    let row = json!({ "id": 1, "title": "Anchor", "store": 7 });
    assert_eq!(told(&first), [json!({ "op": "snapshot", "table": "goods", "key": { "id": 1 }, "row": row })]);
    at(&server, "UPDATE products SET store = 8 WHERE id = 1; UPDATE products SET store = 7 WHERE id = 2");
    let ops: Vec<Value> = told(&place.tidewater("run --until-in-step").exits(0));
    let row = json!({ "id": 2, "title": "Buoy", "store": 7 });
    assert_eq!(
        ops,
        [
            json!({ "op": "delete", "table": "goods", "key": { "id": 1 } }),
            json!({ "op": "upsert", "table": "goods", "key": { "id": 2 }, "row": row }),
        ]
    );
    place.tidewater("status").exits(0).says("following");
    place.tidewater("teardown").exits(0).says("took out the state file");
    assert_eq!(at(&server, LEFT), "0 slots, 0 publications");
    assert_eq!(place.files(), ["tidewater.toml"]);
}

#[test]
fn what_needs_rows_that_are_kept_is_refused() {
    let place = a_shop("CREATE TABLE t(id INTEGER PRIMARY KEY);");
    for line in [
        "sync stdout: sqlite:shop.db",
        "sync sqlite:shop.db stdout: --both-ways",
        "sync sqlite:shop.db stdout: --protect",
        "sync sqlite:shop.db stdout: --existing mirror",
        "verify sqlite:shop.db stdout:",
        "verify stdout: sqlite:shop.db",
        "conflicts list stdout:",
        "conflicts restore stdout: --run 1",
        "conflicts forget stdout: --older-than-days 1",
    ] {
        place.tidewater(line).exits(2).says("E0043 stdout:");
    }
    place.tidewater("sync sqlite:shop.db sqlite:till.db --state s").exits(2).says("E0001 --state does not go");
    place.tidewater("sync sqlite:shop.db stdout: --once --state s").exits(2);
    place.tidewater("status stdout:").exits(0).says("no links");
    assert_eq!((place.files(), place.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
}

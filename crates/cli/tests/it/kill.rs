//! The engine dies at any moment: at random ones while another program writes, and at each write of its own.
//!
//! What is checked knows nothing of the engine: plain SQL over both files, and their integrity.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

use crate::given::{Place, Running, given, until};
use rusqlite::Connection;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tidewater_core::env::Env;

/// The same seed, the same moments and writes.
struct Dice(Env);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        self.0.random.bits() % sides
    }
}

fn rounds() -> u64 {
    std::env::var("TIDEWATER_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(20)
}

const SHOP: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE parts(id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT);
    CREATE TABLE stock(place TEXT, part INT REFERENCES parts(id) ON DELETE CASCADE, n INT, PRIMARY KEY (place, part)) WITHOUT ROWID;
    WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 20000)
      INSERT INTO parts SELECT n, 'c' || n, hex(randomblob(40)) FROM i;
    INSERT INTO stock SELECT 'north', id, id FROM parts WHERE id % 3 = 0;";

/// What an application writes, a transaction a line.
fn writes(dice: &Dice) -> String {
    let mut script = String::from(".timeout 10000\nPRAGMA foreign_keys = ON;\n");
    for _ in 0..60 {
        let (a, b) = (1 + dice.roll(20_500), 1 + dice.roll(20_500));
        let statement = match dice.roll(10) {
            0 => format!("INSERT OR REPLACE INTO parts VALUES ({a}, 'c{b}', 'replaced');"),
            1 => format!("DELETE FROM parts WHERE id = {a};"),
            2 => format!("UPDATE OR REPLACE parts SET id = {a} WHERE id = {b};"),
            3 => format!(
                "INSERT OR IGNORE INTO stock SELECT 'south', id, {b} FROM parts WHERE id BETWEEN {a} AND {a} + 50;"
            ),
            4 => format!(
                "BEGIN; UPDATE parts SET code = 'swap' WHERE id = {a}; UPDATE OR IGNORE parts SET code = 'c{a}' WHERE id = {b}; \
                 UPDATE OR IGNORE parts SET code = 'c{b}' WHERE id = {a}; COMMIT;"
            ),
            // Beyond the last row: not logged one by one, and some gone again before anybody looks.
            5 => format!(
                "INSERT INTO parts(code, note) SELECT NULL, note || {b} FROM parts WHERE id BETWEEN {a} AND {a} + 100;"
            ),
            6 => format!("DELETE FROM parts WHERE id > (SELECT max(id) FROM parts) - {};", a % 200),
            7 => format!("UPDATE parts SET note = note || 'x' WHERE id BETWEEN {a} AND {a} + 20;"),
            _ => format!("UPDATE stock SET n = n + 1 WHERE part BETWEEN {a} AND {a} + 100;"),
        };
        script.push_str(&statement);
        script.push('\n');
    }
    script
}

/// The other program, at work.
fn writer(place: &Place, script: &str) -> std::process::Child {
    place.file("writes.sql", script);
    let input = std::fs::File::open(place.path("writes.sql")).expect("the script is there");
    let mut command = Command::new("sqlite3");
    command.arg("-batch").arg(place.path("shop.db")).stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("sqlite3 is installed (scripts/test does it)")
}

/// Rows that differ although the target's position says that they are there: there must be none.
fn ahead(place: &Place, target: &str) -> u64 {
    let shop = Connection::open(place.path("shop.db")).expect("opens");
    shop.execute("ATTACH ?1 AS t", [place.path(target).display().to_string()]).expect("attached");
    let following = "SELECT count(*) FROM t.sqlite_schema WHERE name = '_tidewater_link_table'";
    if shop.query_row(following, [], |r| r.get::<_, u64>(0)).expect("reads") == 0 {
        return 0;
    }
    let following = "SELECT count(*) FROM t._tidewater_link_table WHERE phase = 'following'";
    if shop.query_row(following, [], |r| r.get::<_, u64>(0)).expect("reads") < 2 {
        return 0;
    }
    let position: String =
        shop.query_row("SELECT position FROM t._tidewater_link", [], |r| r.get(0)).expect("a position");
    let place = position.split('@').next().expect("a number");
    // Of the entry after the number some rows may be there already, those through the second number.
    let (seq, within) = place.split_once(':').unwrap_or((place, "NULL"));
    let pending = |table: &str| {
        let tab = format!("(SELECT id FROM _tidewater_table WHERE name = '{table}')");
        format!("SELECT k1 FROM _tidewater_log WHERE seq > {seq} AND tab = {tab}")
    };
    let appended = format!(
        "SELECT p.id FROM parts p, _tidewater_table t WHERE t.name = 'parts' AND p.id > t.top UNION ALL \
         SELECT p.id FROM _tidewater_log l, parts p WHERE l.seq > {seq} \
         AND l.tab = -(SELECT id FROM _tidewater_table WHERE name = 'parts') \
         AND p.id > iif(l.seq = {seq} + 1, ifnull({within}, l.k1), l.k1) AND p.id <= l.k2"
    );
    // A row that waits for a unique value is held: known to be missing, not forgotten.
    let held: u64 = shop.query_row("SELECT count(*) FROM t._tidewater_held", [], |r| r.get(0)).expect("reads");
    let differ = |left: &str, right: &str, table: &str, key: &str| -> u64 {
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM {left}.{table} EXCEPT SELECT * FROM {right}.{table}) \
             WHERE {key} NOT IN ({} UNION ALL {appended})",
            pending(table)
        );
        shop.query_row(&sql, [], |r| r.get(0)).expect("compares")
    };
    let parts = differ("main", "t", "parts", "id") + differ("t", "main", "parts", "id");
    parts.saturating_sub(2 * held)
}

#[test]
fn the_engine_is_killed_at_random_moments_while_another_program_writes() {
    let seed = 20_261_123;
    let dice = Dice(Env::seeded(seed));
    let place = given("");
    place.sql("shop.db", SHOP);
    let (mut target, mut kills) = (String::new(), 0);
    for round in 0..rounds() {
        if round % 20 == 0 {
            // A new target: kills in the middle of the first copy, too.
            target = format!("till{round}.db");
        }
        let mut program = writer(&place, &writes(&dice));
        let arguments = format!("sync sqlite:shop.db sqlite:{target} --watch");
        let engine: Running = place.starts(&arguments);
        let moment = Duration::from_millis(20 + dice.roll(180));
        let start = Instant::now();
        while start.elapsed() < moment {
            std::thread::yield_now();
        }
        assert_eq!(engine.gets("KILL").ends().code, None, "a signal ended it");
        kills += 1;
        program.wait().expect("the program ends");
        assert_eq!(ahead(&place, &target), 0, "round {round}, seed {seed}: the position is ahead of the rows");
        if round % 10 == 9 {
            place.tidewater(&format!("sync sqlite:shop.db sqlite:{target}")).exits(0);
            place.same_rows("shop.db", &target);
        }
    }
    println!("{kills} kills");
}

#[test]
fn a_first_copy_that_was_killed_resumes_at_the_chunk() {
    let place = given("");
    place.sql("shop.db", SHOP);
    let copied = || -> u64 {
        let till = Connection::open(place.path("till.db"));
        till.and_then(|c| c.query_row("SELECT count(*) FROM parts", [], |r| r.get(0))).unwrap_or(0)
    };
    let engine = place.starts("sync sqlite:shop.db sqlite:till.db --rows-per-second-max 8000");
    until("half of the copy", || copied() >= 8_000);
    assert_eq!(engine.gets("KILL").ends().code, None, "a signal ended it");
    let there = copied();
    assert!(there < 20_000, "killed in the middle");
    let report = place.tidewater("sync sqlite:shop.db sqlite:till.db --json").exits(0);
    let rows = 20_000 + 6_666;
    assert_eq!((report.count("rows_copied"), report.count("rows_compared")), (rows - there, 0));
    place.same_rows("shop.db", "till.db");
}

/// Whether this machine lets a test trace its children.
fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        println!("skipped: strace cannot trace here");
    }
    can
}

/// Kills the engine at its n-th call of one kind; whether it lived to its end.
fn sync_killed_at(place: &Place, call: &str, n: u32) -> bool {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=KILL:when={n}")])
        .arg(env!("CARGO_BIN_EXE_tidewater"))
        .args(["sync", "sqlite:shop.db", "sqlite:till.db"])
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("strace runs").success()
}

/// Dies at every write, sync and truncation in turn, from the same beginning each time.
fn at_every_boundary(what: &str, prepare: impl Fn(&Place)) {
    if !can_trace() {
        return;
    }
    let mut boundaries = 0;
    for call in ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"] {
        for n in 1.. {
            let place = given("");
            prepare(&place);
            let lived = sync_killed_at(&place, call, n);
            place.tidewater("sync sqlite:shop.db sqlite:till.db").exits(0);
            place.same_rows("shop.db", "till.db");
            assert_eq!(place.sql("shop.db", "PRAGMA integrity_check;"), "ok", "{call} {n}");
            if lived {
                break;
            }
            boundaries += 1;
        }
    }
    println!("{what}: {boundaries} boundaries");
    assert!(boundaries >= 10, "{what}: only {boundaries} boundaries were met");
}

const SMALL: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, u INT UNIQUE, v TEXT);
    WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 300) INSERT INTO t SELECT n, n, 'v' || n FROM i;";

/// Fifty transactions.
fn fifty() -> String {
    let one = |n: u32| {
        format!(
            "INSERT INTO t VALUES ({0}, {0}, 'new'); UPDATE t SET v = 'changed' WHERE id = {1}; DELETE FROM t WHERE id = {2};",
            1_000 + n,
            n + 1,
            n + 100
        )
    };
    (0..50).map(|n| format!("BEGIN; {} COMMIT;\n", one(n))).collect()
}

#[test]
fn the_engine_dies_at_every_write_of_a_first_copy() {
    at_every_boundary("first copy", |place| {
        // More than one chunk: those before the last are written without a flush of their own.
        place.sql("shop.db", &SMALL.replace("300", "2500"));
    });
}

#[test]
fn the_engine_dies_at_every_write_while_it_follows() {
    at_every_boundary("follow", |place| {
        place.sql("shop.db", SMALL);
        place.tidewater("sync sqlite:shop.db sqlite:till.db").exits(0);
        place.sql("shop.db", &fifty());
    });
}

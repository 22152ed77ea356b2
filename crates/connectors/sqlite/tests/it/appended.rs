//! Rows appended beyond the highest row number known: logged by range, and never missed whatever happens to them.

use crate::given::{Step, given, overwriting, rows, run, same, shell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tidewater_core::capture::{Read, Resumed};
use tidewater_core::change::{Filter, Op, Position, TableScope, Transaction, Value};
use tidewater_core::env::Env;
use tidewater_core::link::{Behind, Event, Settings, State};
use tidewater_sqlite::{Database, status};

const TWO: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a'),(2,'b');";

/// Rows numbered from one number through another.
fn append(from: u32, through: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {through}) \
         INSERT INTO t SELECT i, 'v' || i FROM n;"
    )
}

/// The log's entries after its first: their number, and how many of them are ranges.
fn log(database: &Path) -> String {
    shell(database, "SELECT count(*), ifnull(sum(tab < 0), 0) FROM _tidewater_log WHERE seq > 0;")
}

fn changes(read: Read) -> Transaction {
    match read {
        Read::Changes(transaction) => transaction,
        other => panic!("changes were expected: {other:?}"),
    }
}

/// The row numbers in a transaction: written ones, and deleted ones as negative numbers.
fn numbers(transaction: &Transaction) -> Vec<i64> {
    let number = |change: &tidewater_core::change::Change| match (change.key.values().next(), &change.op) {
        (Some(Value::I64(id)), Op::Delete) => -id,
        (Some(Value::I64(id)), _) => id,
        (other, _) => panic!("a row number was expected: {other:?}"),
    };
    transaction.changes.iter().map(number).collect()
}

#[test]
fn appended_rows_are_logged_by_one_entry() {
    let pair = given(TWO);
    pair.syncs();
    pair.writes(&append(3, 1_000));
    assert_eq!(log(&pair.source), "0|0", "nothing row by row");
    let report = pair.syncs();
    pair.same();
    assert_eq!((report.upserts, report.compared), (998, 0), "{report:?}");
    assert_eq!(log(&pair.source), "1|1");
    pair.writes("UPDATE t SET v = 'x' WHERE id = 1000; INSERT INTO t VALUES (1001, 'y');");
    assert_eq!(log(&pair.source), "2|1", "an update is logged by its key");
    assert_eq!(pair.syncs().upserts, 2);
    pair.same();
}

#[test]
fn what_happens_to_appended_rows_before_they_are_read_is_seen() {
    let table =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v); INSERT INTO t VALUES (1,'a',1),(2,'b',2),(3,'c',3);";
    for sql in [
        "INSERT INTO t VALUES (4,'d',4); UPDATE t SET v = 40 WHERE id = 4;",
        "INSERT INTO t VALUES (4,'d',4),(5,'e',5); DELETE FROM t WHERE id = 4;",
        "INSERT INTO t VALUES (4,'d',4); DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4,'again',44);",
        "DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3,'again',33);",
        "DELETE FROM t WHERE id = 3; INSERT INTO t(u) VALUES ('numbered anew');",
        "DELETE FROM t; INSERT INTO t(u) VALUES ('x'),('y'),('z'),('beyond');",
        "INSERT INTO t VALUES (9,'d',4); INSERT OR REPLACE INTO t VALUES (9,'e',5);",
        "INSERT OR REPLACE INTO t VALUES (9,'a',9);",
        "INSERT INTO t VALUES (9,'i',9); INSERT OR REPLACE INTO t VALUES (8,'i',8);",
        "UPDATE t SET id = 50 WHERE id = 2; INSERT INTO t VALUES (20,'between',0);",
        "INSERT INTO t VALUES (50,'d',4); UPDATE t SET id = -4 WHERE id = 50; UPDATE OR REPLACE t SET id = 60 WHERE id = 1;",
        "INSERT INTO t VALUES (4,'d',4) ON CONFLICT(u) DO UPDATE SET v = 0; INSERT INTO t VALUES (5,'d',5) ON CONFLICT(u) DO UPDATE SET v = v + 1;",
        "BEGIN; INSERT INTO t VALUES (4,'d',4); ROLLBACK; BEGIN; INSERT INTO t VALUES (5,'e',5); SAVEPOINT s; INSERT INTO t VALUES (6,'f',6); ROLLBACK TO s; COMMIT;",
        "BEGIN; DELETE FROM t; INSERT INTO t VALUES (7,'g',7); ROLLBACK; INSERT INTO t VALUES (4,'d',4);",
        "PRAGMA recursive_triggers = ON; INSERT INTO t VALUES (9,'d',4); INSERT OR REPLACE INTO t VALUES (10,'d',5);",
    ] {
        given(table).follows(sql);
        // The same, where a range with some of these rows is logged already and was read.
        let pair = given(table);
        pair.follows("INSERT INTO t VALUES (3000,'far',0); DELETE FROM t WHERE id = 3000;");
        pair.follows(sql);
    }
}

#[test]
fn row_numbers_are_as_large_and_as_small_as_they_can_be() {
    let (least, most) = (i64::MIN, i64::MAX);
    for sql in [
        format!("INSERT INTO t VALUES ({least}, 'least');"),
        format!("INSERT INTO t VALUES ({}, 'second'); INSERT INTO t VALUES ({least}, 'least');", least + 1),
        "INSERT INTO t VALUES (-5,'minus'),(-9,'minus'),(0,'zero');".to_owned(),
        format!("INSERT INTO t VALUES ({most}, 'most'); INSERT INTO t VALUES (77, 'below');"),
        format!("INSERT INTO t VALUES ({most}, 'most'); INSERT INTO t(v) VALUES ('wherever there is room');"),
        format!(
            "INSERT INTO t VALUES ({least},0),({most},1); DELETE FROM t WHERE id = {most}; INSERT INTO t VALUES (5,5);"
        ),
    ] {
        let before = "INSERT INTO t VALUES (-7,'there');";
        for (kind, before) in [("", ""), ("", before), ("AUTOINCREMENT", ""), ("AUTOINCREMENT", before)] {
            if !kind.is_empty() && sql.contains("room") {
                continue;
            }
            let pair = given(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY {kind}, v); {before}"));
            pair.follows(&sql);
            pair.writes("INSERT OR IGNORE INTO t VALUES (-6, 'later'); DELETE FROM t WHERE id = 0;");
            assert_eq!(pair.syncs().compared, 0);
            pair.same();
        }
    }
}

#[test]
fn a_row_that_a_filter_hides_when_it_is_appended_again_is_deleted() {
    let pair = given(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, v); {}", append(1, 5_000))).with_scope(|scope| {
        let filter = Some(Filter::parse("v <> 'hidden'", &BTreeMap::new()).expect("a filter"));
        scope.special.insert("t".into(), TableScope { filter, ..TableScope::default() });
    });
    // The first copy sees the row, which is beyond what was known when it began, and then it is replaced.
    let (source, seen) = (pair.source.clone(), AtomicU32::new(0));
    pair.syncs_while(move |event| match event {
        Event::Progress { .. } if seen.fetch_add(1, Ordering::Relaxed) == 0 => {
            shell(&source, "INSERT INTO t VALUES (6000, 'shown'), (6001, 'hidden');");
        }
        Event::State(State::Following) => {
            shell(&source, "INSERT OR REPLACE INTO t VALUES (6000, 'hidden'), (6002, 'shown');");
        }
        _ => {}
    });
    assert_eq!(pair.at_target("SELECT id FROM t WHERE id > 5000;"), "6002");
}

#[test]
fn a_key_that_is_no_row_number_is_logged_one_by_one() {
    let pair = given(
        "CREATE TABLE w(id INTEGER PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE d(id INTEGER PRIMARY KEY DESC, v);
         CREATE TABLE n(v); CREATE TABLE i(id INT PRIMARY KEY, v);",
    );
    pair.syncs();
    pair.writes(
        "INSERT INTO w VALUES (1,1),(2,2); INSERT INTO d VALUES (1,1),(2,2); INSERT INTO n VALUES (1);
         INSERT INTO i VALUES (1,1);",
    );
    let (keys, ranges) = (6, 0);
    assert_eq!(log(&pair.source), format!("{keys}|{ranges}"));
    pair.syncs();
    pair.same();
}

#[test]
fn a_range_is_read_in_parts_and_gone_on_with_after_a_kill() {
    let pair = given(TWO);
    let mut step = Step::of(&pair.source, "one");
    let mut at = step.begins(None).position;
    pair.writes(&append(11, 100));
    let (mut found, mut reads) = (BTreeSet::new(), 0);
    loop {
        let read = changes(step.reads(&at, 7, 1 << 20));
        let numbers = numbers(&read);
        assert!(numbers.len() <= 7, "no more than was asked for: {numbers:?}");
        found.extend(numbers);
        at = read.position;
        if read.settled {
            break;
        }
        reads += 1;
        if reads == 4 {
            // Behind and ahead of where the reader stands, and beyond the range.
            pair.writes(
                "INSERT INTO t VALUES (5,'behind'); DELETE FROM t WHERE id IN (11, 99); INSERT INTO t VALUES (200,'new');",
            );
        }
        if reads % 3 == 0 {
            // The engine dies, and a new one takes up the position.
            drop(step);
            step = Step::of(&pair.source, "one");
            let start = step.begins(Some(&at));
            assert_eq!((start.resumed, start.position), (Resumed::At, at.clone()));
        }
        step.confirms(&at);
    }
    let wanted: BTreeSet<i64> = (11..=100).chain([5, 200, -11, -99]).filter(|id| *id != 99).collect();
    assert_eq!(found, wanted);
    assert_eq!(step.reads(&at, 7, 1 << 20), Read::Nothing);
}

#[test]
fn a_range_of_large_rows_takes_no_more_memory_than_a_read_may() {
    let pair = given(TWO);
    let mut step = Step::of(&pair.source, "one");
    let mut at = step.begins(None).position;
    pair.writes(&append(3, 40).replace("'v' || i", "zeroblob(100000)"));
    let mut rows = 0;
    loop {
        let read = changes(step.reads(&at, 10_000, 300_000));
        let bytes: usize = read.changes.iter().map(tidewater_core::change::Change::bytes).sum();
        assert!(bytes < 450_000, "{bytes} bytes in one read");
        rows += read.changes.len();
        at = read.position;
        if read.settled {
            break;
        }
    }
    assert_eq!(rows, 38);
}

#[test]
fn nothing_is_settled_while_rows_are_there_that_the_log_does_not_know_of() {
    let pair = given(TWO);
    let mut step = Step::of(&pair.source, "one");
    let began = step.begins(None).position;
    assert_eq!(step.reads(&began, 100, 1 << 20), Read::Nothing);
    pair.writes("UPDATE t SET v = 'x' WHERE id = 1; INSERT INTO t VALUES (3,'c');");
    let first = changes(step.reads(&began, 100, 1 << 20));
    assert_eq!((numbers(&first), first.settled), (vec![1], false), "the row 3 is still to come");
    let second = changes(step.reads(&first.position, 100, 1 << 20));
    assert_eq!((numbers(&second), second.settled), (vec![3], true));
    assert_eq!(step.reads(&second.position, 100, 1 << 20), Read::Nothing);
    pair.writes("INSERT INTO t VALUES (4,'d');");
    assert_eq!(numbers(&changes(step.reads(&second.position, 100, 1 << 20))), [4], "also after nothing was found");
}

#[test]
fn appended_rows_get_their_turn_in_a_log_that_does_not_end() {
    let pair = given(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, v); {}", append(1, 20)));
    let mut step = Step::of(&pair.source, "one");
    let mut at = step.begins(None).position;
    pair.writes("UPDATE t SET v = 0; INSERT INTO t VALUES (500, 'appended');");
    let mut found = Vec::new();
    for _ in 0..8 {
        let read = changes(step.reads(&at, 5, 1 << 20));
        found.extend(numbers(&read));
        at = read.position;
        pair.writes("UPDATE t SET v = v + 1 WHERE id <= 20;");
    }
    assert!(found.contains(&500), "{found:?}");
}

#[test]
fn links_at_different_speeds_share_the_ranges() {
    let pair = given(TWO);
    let other = pair.folder.path().join("other.db");
    let second = || run(&pair.source, &other, &pair.settings, pair.log_rows_max).expect("runs");
    pair.syncs();
    pair.writes(&append(3, 50));
    // It begins when rows are there that the log does not know of: the first link must not lose them.
    second();
    for round in 0..6 {
        pair.writes(&append(100 * (round + 1), 100 * (round + 1) + 20));
        pair.writes(&format!("DELETE FROM t WHERE id = 100 * {round} + 7;"));
        if round % 3 == 2 {
            assert_eq!(second().compared, 0, "round {round}");
            same(&pair.source, &other);
        }
        if round > 0 {
            assert_eq!(pair.syncs().compared, 0, "round {round}");
            pair.same();
        }
    }
}

#[test]
fn what_the_engine_appends_is_logged_under_its_link_and_what_others_append_is_not_lost() {
    let pair = given(TWO);
    let third = pair.folder.path().join("third.db");
    let onwards = || run(&pair.target, &third, &pair.settings, pair.log_rows_max).expect("runs");
    pair.syncs();
    onwards();
    // Beyond the highest number known at the middle: first another program's rows there, then ours beyond those.
    pair.target_writes("INSERT INTO t VALUES (10,'own'),(11,'own');");
    pair.writes("INSERT INTO t VALUES (20,'c'),(21,'d');");
    pair.syncs();
    pair.target_writes("INSERT INTO t VALUES (15,'own'),(30,'own');");
    pair.writes("INSERT INTO t VALUES (16,'e'),(40,'f');");
    pair.syncs();
    let seen = pair.at_target(
        "SELECT CASE WHEN tab < 0 THEN k1 || '-' || k2 ELSE k1 || ' ' || (via <> '') END FROM _tidewater_log \
         JOIN _tidewater_table ON id = abs(tab) ORDER BY seq;",
    );
    assert_eq!(seen, "2-11\n20 1\n21 1\n15 0\n21-30\n16 1\n40 1");
    let report = onwards();
    assert_eq!((report.upserts, report.compared), (8, 0), "{report:?}");
    same(&pair.target, &third);
}

#[test]
fn rows_put_back_beyond_what_is_known_are_sent_once() {
    let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'src');")
        .with(|settings| settings.existing = tidewater_core::link::Existing::Mirror);
    shell(&pair.target, "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'own'),(9,'own');");
    let third = pair.folder.path().join("third.db");
    let onwards = || run(&pair.target, &third, &Settings::default(), pair.log_rows_max).expect("runs");
    let report = pair.syncs();
    onwards();
    pair.target_writes("INSERT INTO t VALUES (5,'appended');");
    assert_eq!(pair.restores(&report.run), 2);
    assert_eq!(pair.at_target("SELECT top FROM _tidewater_table WHERE via = '';"), "9", "no range will have it");
    let report = onwards();
    assert_eq!((report.upserts, report.compared), (3, 0), "{report:?}");
    assert_eq!(rows(&pair.target, "t"), rows(&third, "t"));
}

#[test]
fn a_database_of_the_format_before_is_taken_up() {
    let pair = given(TWO);
    let third = pair.folder.path().join("third.db");
    let onwards = || run(&pair.target, &third, &pair.settings, pair.log_rows_max).expect("runs");
    pair.syncs();
    onwards();
    let as_before = |database: &Path| {
        shell(
            database,
            "DROP TRIGGER _tidewater_1_i; ALTER TABLE _tidewater_table DROP COLUMN top; ALTER TABLE _tidewater_log DROP COLUMN k2;
             CREATE TRIGGER \"_tidewater_1_i\" AFTER INSERT ON \"t\" BEGIN INSERT INTO _tidewater_log(tab, k1) VALUES (1, NEW.\"id\"); END;
             UPDATE _tidewater_control SET format = 1, cookie = (SELECT schema_version FROM pragma_schema_version);",
        );
    };
    as_before(&pair.source);
    as_before(&pair.target);
    pair.writes("INSERT INTO t VALUES (3,'c'); DELETE FROM t WHERE id = 1;");
    let status = status(&Database::new(&pair.source), &Env::real()).expect("also before it is taken up");
    assert_eq!(status.followers[0].behind, Behind::Changes(2));
    let report = pair.syncs();
    assert!(report.compared > 0, "its triggers are made anew: {report:?}");
    pair.same();
    pair.writes(&append(10, 20));
    pair.target_writes("INSERT INTO t VALUES (5,'own');");
    assert_eq!((pair.syncs().compared, pair.syncs().compared), (0, 0));
    onwards();
    same(&pair.target, &third);
    assert_eq!(shell(&pair.source, "SELECT format FROM _tidewater_control;"), "2");
    pair.writes(&append(30, 40));
    assert_eq!((pair.syncs().compared, onwards().compared), (0, 0), "once");
    same(&pair.target, &third);
}

#[test]
fn where_what_is_known_was_lost_everything_is_logged_and_the_table_compared() {
    for lose in [
        "UPDATE _tidewater_table SET top = NULL;",
        "DELETE FROM _tidewater_table;",
        "DELETE FROM _tidewater_table; INSERT INTO _tidewater_table(id, name, via) VALUES (1, 't', '');",
    ] {
        let pair = given(TWO);
        pair.syncs();
        pair.writes(&format!("INSERT INTO t VALUES (3,'unseen'); {lose} INSERT INTO t VALUES (4,'logged');"));
        assert_eq!(log(&pair.source), "1|0", "{lose}");
        assert!(pair.syncs().compared > 0, "{lose}");
        pair.same();
        pair.writes("INSERT INTO t VALUES (5,'c');");
        assert_eq!(pair.syncs().compared, 0, "{lose}");
        pair.same();
    }
}

#[test]
fn what_is_known_is_lost_while_links_follow() {
    let pair = given(TWO);
    let (mut one, mut other) = (Step::of(&pair.source, "one"), Step::of(&pair.source, "other"));
    let (began, too) = (one.begins(None).position, other.begins(None).position);
    let began = one.begins(Some(&began)).position;
    one.confirms(&began);
    other.confirms(&too);
    pair.writes("INSERT INTO t VALUES (3,'unseen'); UPDATE _tidewater_table SET top = NULL;");
    assert_eq!(one.reads(&began, 100, 1 << 20), Read::SchemaChanged);
    assert_eq!(one.begins(Some(&began)).void, [0]);
    // The other did not look meanwhile, and it is known again what is there.
    other.confirms(&too);
    assert_eq!(other.reads(&too, 100, 1 << 20), Read::SchemaChanged);
    assert_eq!(other.begins(Some(&too)).void, [0]);
}

#[test]
fn a_restored_source_that_appended_the_same_numbers_again_is_noticed() {
    let pair = given(TWO);
    pair.syncs();
    let backup = pair.folder.path().join("backup.db");
    shell(&pair.source, &format!("VACUUM INTO '{}';", backup.display()));
    pair.writes(&append(3, 50));
    pair.syncs();
    std::fs::rename(&backup, &pair.source).expect("restored");
    pair.writes(&append(3, 50).replace("'v'", "'other'"));
    assert!(pair.syncs().compared > 0);
    pair.same();
    pair.writes(&append(51, 60));
    assert_eq!(pair.syncs().compared, 0);
    pair.same();
}

#[test]
fn a_table_made_anew_with_fewer_rows_is_followed_from_there() {
    let pair = given(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, v); {}", append(1, 100)));
    pair.syncs();
    pair.writes("DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'new'),(2,'new');");
    assert!(pair.syncs().compared > 0);
    pair.same();
    pair.writes("INSERT INTO t VALUES (3,'beyond'),(60,'beyond');");
    assert_eq!(log(&pair.source), "0|0", "what was known of the table before is forgotten");
    assert_eq!(pair.syncs().compared, 0);
    pair.same();
    pair.writes("DELETE FROM t; VACUUM;");
    pair.syncs();
    pair.follows("INSERT INTO t(v) VALUES ('first'), ('second');");
}

#[test]
fn rows_appended_before_a_change_of_the_schema_arrive() {
    let pair = given(TWO);
    pair.syncs();
    pair.writes("INSERT INTO t VALUES (3,'c'); ALTER TABLE t ADD COLUMN w; INSERT INTO t VALUES (4,'d','w');");
    pair.syncs();
    pair.same();
    // The key under another name: the table is halted until the target has it, too.
    pair.writes(
        "INSERT INTO t VALUES (5,'e','w'); ALTER TABLE t RENAME COLUMN id TO no; INSERT INTO t VALUES (6,'f','w');",
    );
    assert_eq!(pair.syncs().halted.len(), 1);
    pair.target_writes("ALTER TABLE t RENAME COLUMN id TO no;");
    pair.syncs();
    pair.same();
    pair.follows("INSERT INTO t VALUES (7,'g','w'); ALTER TABLE t RENAME TO s; ALTER TABLE s RENAME TO t; INSERT INTO t(v) VALUES ('h');");
}

#[test]
fn a_program_may_attach_two_sources_at_once() {
    let (pair, other) = (given(TWO), given(TWO));
    other.writes("INSERT INTO t VALUES (500,'far');");
    pair.syncs();
    other.syncs();
    shell(
        &pair.source,
        &format!(
            "ATTACH '{}' AS x; INSERT INTO t VALUES (3,'c'); INSERT INTO x.t VALUES (4,'below'),(501,'beyond');
             BEGIN; INSERT INTO t VALUES (4,'d'); INSERT INTO x.t SELECT id + 600, v FROM main.t; COMMIT;",
            other.source.display()
        ),
    );
    assert_eq!((log(&pair.source), log(&other.source)), ("0|0".to_owned(), "1|0".to_owned()));
    for pair in [pair, other] {
        assert_eq!(pair.syncs().compared, 0);
        pair.same();
    }
}

#[test]
fn a_log_in_which_only_ranges_are_entered_is_bounded_too() {
    let pair = given(TWO);
    let (mut away, mut near) = (Step::limited(&pair.source, "away", 16), Step::limited(&pair.source, "near", 16));
    let began = away.begins(None).position;
    let mut at: Position = near.begins(None).position;
    for round in 0..40 {
        pair.writes(&format!("INSERT INTO t VALUES (100 + {round}, 'v');"));
        let read = changes(near.reads(&at, 100, 1 << 20));
        assert_eq!(numbers(&read), [100 + round]);
        at = read.position;
        near.confirms(&at);
    }
    let entries: u32 = shell(&pair.source, "SELECT count(*) FROM _tidewater_log;").parse().expect("a number");
    assert!(entries <= 20, "{entries} entries: the limit, an eighth of it, and entry 0");
    assert!(matches!(away.begins(Some(&began)).resumed, Resumed::Lost(_)), "it was away for too long");
}

#[test]
fn a_source_that_only_appends_fills_no_log_while_nobody_reads() {
    let mut pair = given(TWO);
    pair.log_rows_max = 100;
    pair.syncs();
    pair.writes(&append(3, 5_000));
    let report = pair.syncs();
    assert_eq!((report.compared, report.upserts), (0, 4_998), "{report:?}");
    pair.same();
}

#[test]
fn what_is_pending_counts_appended_rows() {
    let pair = given(TWO).with(overwriting);
    let behind = || {
        let status = status(&Database::new(&pair.source), &Env::real()).expect("reads");
        status.followers.iter().map(|f| f.behind).collect::<Vec<_>>()
    };
    let mut one = Step::of(&pair.source, "one");
    let began = one.begins(None).position;
    Step::of(&pair.source, "other").begins(None);
    assert_eq!(behind(), [Behind::Changes(0), Behind::Changes(0)]);
    pair.writes(&format!("{} UPDATE t SET v = 'x' WHERE id = 1; DELETE FROM t WHERE id = 30;", append(3, 50)));
    assert_eq!(behind(), [Behind::Changes(49), Behind::Changes(49)], "47 rows and two keys");
    let mut at = began;
    while let Read::Changes(read) = one.reads(&at, 1_000, 1 << 20) {
        at = read.position;
    }
    one.confirms(&at);
    assert_eq!(behind(), [Behind::Changes(0), Behind::Changes(49)]);
    pair.writes(&append(60, 69));
    assert_eq!(behind(), [Behind::Changes(10), Behind::Changes(59)]);
}

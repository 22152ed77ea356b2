//! When rows were written, where many of them share one entry of the log: a range has the time of its first row.

use super::group::{Group, group, open};
use super::locks::Engine;
use crate::given::{block_on, rows, run, same, until};
use std::collections::BTreeMap;
use tidewater_core::change::Value;
use tidewater_core::env::Env;
use tidewater_core::link::{Existing, Settings};
use tidewater_core::replica::Replica;
use tidewater_sqlite::{Access, Database};

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'one'), (2, 'two');";
const LOG: &str = "SELECT CASE WHEN tab < 0 THEN k1 || '-' || k2 ELSE k1 END FROM _tidewater_log \
                   JOIN _tidewater_table ON id = abs(tab) WHERE via = '' ORDER BY seq";
const MINUTE_MS: u64 = 60_000;

fn met() -> Group {
    let g = group("ab", TABLE);
    g.meet("ab");
    g
}

/// Rows with these numbers, which say who wrote them.
fn append(member: char, from: u32, through: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {through}) \
         INSERT INTO t SELECT i, '{member}' || i FROM n;"
    )
}

/// What a member has written so far and not sealed was written this many minutes ago.
fn ago(g: &Group, member: char, minutes: u32) {
    g.write(
        member,
        &format!(
            "UPDATE _tidewater_log SET at = at - {minutes} / 1440.0; \
             UPDATE _tidewater_table SET at = at - {minutes} / 1440.0;"
        ),
    );
}

/// The log since the members met, and whether a range is open.
fn log(g: &Group, member: char) -> (Vec<String>, bool) {
    let open = g.write(member, "SELECT count(at) FROM _tidewater_table WHERE via = ''") == "1";
    (g.write(member, LOG).lines().map(str::to_owned).collect(), open)
}

/// The minutes that passed since each side of the conflict about a row was written, by its value.
fn minutes(g: &Group, id: i64) -> BTreeMap<String, u64> {
    let now = u64::try_from(Env::real().clock.now_ms()).expect("after 1970");
    let conflicts = g.conflicts('a');
    let of_row = |key: &tidewater_core::change::Key| key.values().next() == Some(Value::I64(id));
    let entry = conflicts.iter().find(|entry| of_row(&entry.key)).unwrap_or_else(|| panic!("none about {id}"));
    let value = |row: &tidewater_core::change::Row| match row.values().nth(1) {
        Some(Value::Text(text)) => text.to_string(),
        other => panic!("{other:?}"),
    };
    entry
        .sides
        .iter()
        .map(|side| {
            let ms = now.checked_sub(side.stamp.ms()).expect("no write is of the future");
            (side.content.as_ref().map_or(String::new(), value), (ms + MINUTE_MS / 10) / MINUTE_MS)
        })
        .collect()
}

#[test]
fn many_appended_rows_are_one_entry() {
    let g = met();
    g.write('a', &append('a', 3, 2_000));
    let (entries, open) = log(&g, 'a');
    assert!(open && entries.len() <= 16 && !entries.join(" ").contains('-'), "{entries:?}");
    g.meet("ab");
    assert_eq!(g.same("ab", "t").lines().count(), 2_000);
    let (entries, open) = log(&g, 'a');
    assert!(!open && entries.last().is_some_and(|range| range.ends_with("-2000")), "{entries:?}");
    // Afterwards everything about them is logged by their keys.
    g.write('a', "UPDATE t SET v = 'x' WHERE id = 1999; DELETE FROM t WHERE id = 2000;");
    assert_eq!(log(&g, 'a').0.last().map(String::as_str), Some("2000"));
    g.meet("ab");
    g.same("ab", "t");
}

#[test]
fn of_two_who_appended_the_same_numbers_the_later_one_wins_whoever_is_sealed_last() {
    for (earlier, later, order) in [('a', 'b', "ab"), ('a', 'b', "ba"), ('b', 'a', "ab"), ('b', 'a', "ba")] {
        let g = met();
        for (member, minutes) in [(earlier, 60), (later, 30)] {
            g.write(member, &append(member, 3, 100));
            assert!(log(&g, member).1, "a range is open");
            ago(&g, member, minutes);
        }
        g.meet(order);
        let held = g.same("ab", "t");
        assert!((3..=100).all(|id| held.contains(&format!("{id}|{later}{id}"))), "{held}");
        let sides = [(format!("{earlier}99"), 60), (format!("{later}99"), 30)];
        assert_eq!(minutes(&g, 99), BTreeMap::from(sides));
    }
}

#[test]
fn a_range_ends_when_its_time_is_over() {
    let g = met();
    g.write('b', &append('b', 3, 110));
    ago(&g, 'b', 30);
    g.write('a', &append('a', 3, 100));
    ago(&g, 'a', 60);
    g.write('a', "INSERT INTO t VALUES (101, 'a101')");
    let (entries, open) = log(&g, 'a');
    let (key, range) = (entries[entries.len() - 2].as_str(), entries[entries.len() - 1].as_str());
    assert!(!open && key == "101" && range.ends_with("-100"), "{entries:?}");
    // Rows after it are another range, with another time.
    g.write('a', &append('a', 102, 150));
    assert!(log(&g, 'a').1);
    g.meet("ab");
    assert!(g.same("ab", "t").contains("100|b100\n101|a101\n102|a102\n"), "{}", g.same("ab", "t"));
    let sides = |one: &str, other: &str, minutes| BTreeMap::from([(one.to_owned(), minutes), (other.to_owned(), 30)]);
    assert_eq!(minutes(&g, 100), sides("a100", "b100", 60));
    assert_eq!(minutes(&g, 101), sides("a101", "b101", 0));
    assert_eq!(minutes(&g, 110), sides("a110", "b110", 0));
}

#[test]
fn rows_between_those_of_a_range_do_not_move_its_time() {
    let g = met();
    g.write('b', &append('b', 499, 1_010));
    ago(&g, 'b', 30);
    g.write('a', &(append('a', 3, 100) + "INSERT INTO t VALUES (1000, 'a1000');"));
    ago(&g, 'a', 60);
    // Lower than the last one: were a range to begin here, the row 1000 would be in it.
    g.write('a', "INSERT INTO t VALUES (500, 'a500'), (501, 'a501');");
    let (entries, open) = log(&g, 'a');
    assert!(open && entries.ends_with(&["500".to_owned(), "501".to_owned()]), "{entries:?}");
    g.meet("ab");
    let held = g.same("ab", "t");
    assert!(held.contains("499|b499\n500|a500\n501|a501\n502|b502\n") && held.contains("1000|b1000"), "{held}");
    assert_eq!(minutes(&g, 1_000).get("a1000"), Some(&60));
    assert_eq!(minutes(&g, 500).get("a500"), Some(&0));
}

#[test]
fn a_row_of_a_range_that_was_written_again_has_the_later_time() {
    for (again, now) in [
        ("UPDATE t SET v = 'again' WHERE id = 50", "again"),
        ("INSERT OR REPLACE INTO t VALUES (50, 'again')", "again"),
        ("DELETE FROM t WHERE id = 50; INSERT INTO t VALUES (50, 'again')", "again"),
        ("UPDATE OR REPLACE t SET id = 50 WHERE id = 2", "two"),
    ] {
        let g = met();
        g.write('b', &append('b', 3, 100));
        ago(&g, 'b', 30);
        g.write('a', &append('a', 3, 100));
        ago(&g, 'a', 60);
        g.write('a', again);
        g.meet("ab");
        assert_eq!(minutes(&g, 50).get(now), Some(&0), "{again}");
        assert_eq!(minutes(&g, 49).get("a49"), Some(&60), "{again}");
        g.same("ab", "t");
    }
}

#[test]
fn a_clock_that_is_put_back_ends_a_range() {
    let g = met();
    g.write('a', &append('a', 3, 100));
    g.write('a', "UPDATE _tidewater_table SET at = at + 30 / 1440.0");
    g.write('a', "INSERT INTO t VALUES (101, 'a101')");
    let (entries, open) = log(&g, 'a');
    assert!(!open && entries.last().is_some_and(|range| range.ends_with("-100")), "{entries:?}");
    g.meet("ab");
    g.same("ab", "t");
}

#[test]
fn whatever_happens_to_appended_rows_before_they_are_sealed_arrives() {
    let table =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v); INSERT INTO t VALUES (1,'a',1),(2,'b',2),(3,'c',3);";
    let many = "WITH RECURSIVE n(i) AS (SELECT 11 UNION ALL SELECT i + 1 FROM n WHERE i < 90) \
                INSERT INTO t SELECT i, 'u' || i, i FROM n;";
    for sql in [
        "UPDATE t SET v = 40 WHERE id = 80;",
        "DELETE FROM t WHERE id = 90; INSERT INTO t(u) VALUES ('numbered anew');",
        "DELETE FROM t WHERE id > 5; INSERT INTO t VALUES (80,'again',44),(60,'below',0);",
        "DELETE FROM t; INSERT INTO t(u) VALUES ('x'),('y'),('z');",
        "INSERT OR REPLACE INTO t VALUES (99,'a',9),(98,'u70',8),(80,'u75',7);",
        "UPDATE t SET id = 500 WHERE id = 2; INSERT INTO t VALUES (200,'between',0); UPDATE t SET id = 9 WHERE id = 85;",
        "INSERT INTO t VALUES (91,'u90',4) ON CONFLICT(u) DO UPDATE SET v = 0;",
        "BEGIN; INSERT INTO t VALUES (91,'d',4); ROLLBACK; BEGIN; INSERT INTO t VALUES (92,'e',5); SAVEPOINT s; \
         INSERT INTO t VALUES (93,'f',6); ROLLBACK TO s; COMMIT;",
        "INSERT INTO t VALUES (9223372036854775807,'most',0); INSERT INTO t(u) VALUES ('wherever there is room'); \
         INSERT INTO t VALUES (-9223372036854775808,'least',0);",
        "PRAGMA recursive_triggers = ON; INSERT OR REPLACE INTO t VALUES (91,'u80',5);",
        "CREATE TRIGGER more AFTER INSERT ON t WHEN NEW.id < 1000 BEGIN \
         INSERT INTO t VALUES (NEW.id + 1000, NEW.u || '+', 0); END; INSERT INTO t VALUES (91,'d',0),(92,'e',0);",
        "UPDATE _tidewater_table SET top = NULL;",
        "DELETE FROM _tidewater_table WHERE via = '';",
    ] {
        for minutes in [0, 30] {
            let g = group("ab", table);
            g.meet("ab");
            g.write('a', many);
            ago(&g, 'a', minutes);
            g.write('a', sql);
            g.write(
                'a',
                "INSERT INTO t(u) SELECT 'last' WHERE NOT EXISTS (SELECT 1 FROM t WHERE id = 9223372036854775807)",
            );
            g.meet("ab");
            g.same("ab", "t");
            g.write('b', "INSERT INTO t VALUES (-5, 'of b', 0); UPDATE t SET v = 7 WHERE id IN (1, 80);");
            g.write('a', "INSERT INTO t VALUES (-6, 'of a', 0);");
            g.meet("ab");
            let held = g.same("ab", "t");
            assert!(held.contains("-5|of b|0") && held.contains("-6|of a|0"), "{sql}: {held}");
        }
    }
}

#[test]
fn a_range_larger_than_a_transaction_is_sealed_in_parts() {
    let g = met();
    // More than is ever read at once.
    g.write('a', &append('a', 3, 1_200).replace("'a' || i", "zeroblob(10000)"));
    g.meet("ab");
    let held = "SELECT count(*), sum(length(v)) FROM t WHERE id > 2";
    assert_eq!((g.write('a', held), g.write('b', held)), ("1198|11980000".to_owned(), "1198|11980000".to_owned()));
    g.write('a', "UPDATE t SET v = 'x' WHERE id = 1199");
    g.meet("ab");
    assert_eq!(g.write('b', "SELECT v FROM t WHERE id = 1199"), "x");
}

#[test]
fn what_is_appended_while_an_engine_watches_is_sealed() {
    let g = met();
    let _engine = Engine::watches(&[g.path('a'), g.path('b')]);
    for round in 1..=5 {
        g.write('a', &append('a', 100 * round, 100 * round + 50));
        g.write('b', &append('b', 10_000 * round, 10_000 * round + 50));
        until("all of it arrives", || ['a', 'b'].iter().all(|member| g.count(*member, "t") as u32 == 2 + 102 * round));
    }
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn rows_that_come_one_at_a_time_are_logged_by_their_keys() {
    let g = met();
    for id in 3..=8 {
        g.write('a', &format!("INSERT INTO t VALUES ({id}, 'a')"));
        assert_eq!(log(&g, 'a'), ((3..=id).map(|id| id.to_string()).collect(), false));
    }
    g.meet("ab");
    g.write('b', "INSERT INTO t VALUES (9, 'b')");
    g.meet("ab");
    // What came from the other side is in the log of neither.
    assert_eq!((log(&g, 'a').0.join(" "), log(&g, 'b').0.join(" ")), ("8".to_owned(), "9".to_owned()));
    assert_eq!(g.same("ab", "t").lines().count(), 9);
}

#[test]
fn links_one_way_read_what_is_appended_on_several_sides() {
    let g = met();
    let third = g.folder.path().join("third.db");
    let settings = Settings { existing: Existing::Overwrite, ..Settings::default() };
    let onwards = || run(&g.path('a'), &third, &settings, g.log_rows_max).expect("runs");
    onwards();
    g.write('a', &append('a', 3, 500));
    assert_eq!((onwards().compared, rows(&g.path('a'), "t")), (0, rows(&third, "t")), "before it is sealed");
    g.write('a', &append('a', 501, 900));
    g.write('b', &append('b', 2_001, 2_500));
    g.meet("ab");
    g.write('a', &append('a', 2_501, 2_600));
    let status = tidewater_sqlite::status(&Database::new(g.path('a')), &Env::real()).expect("reads");
    assert_eq!(status.replica.map(|replica| replica.pending), Some(100));
    let report = onwards();
    assert_eq!(report.compared, 0, "{report:?}");
    same(&g.path('a'), &third);
    g.meet("ab");
    assert_eq!(g.same("ab", "t").lines().count(), 1_500);
}

#[test]
fn who_leaves_leaves_a_table_that_can_be_written() {
    let g = met();
    let third = g.folder.path().join("third.db");
    let onwards = || run(&g.path('a'), &third, &Settings::default(), g.log_rows_max).expect("runs");
    onwards();
    g.write('a', &append('a', 3, 50));
    for member in ['a', 'b'] {
        block_on(open(&g.path(member), Access::Write).leave()).expect("leaves");
    }
    // Its triggers are still those of before, where somebody reads.
    g.write('a', &append('a', 51, 100));
    onwards();
    same(&g.path('a'), &third);
    g.write('a', &append('a', 101, 200));
    assert_eq!(onwards().compared, 0);
    same(&g.path('a'), &third);
    let left = "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_tidewater_*' OR sql GLOB '*_tidewater_*'";
    assert_eq!(g.write('b', left), "0");
}

#[test]
fn a_member_whose_rows_were_all_logged_one_by_one_is_taken_up() {
    let g = met();
    g.write(
        'a',
        "DROP TRIGGER _tidewater_1_i; DROP VIEW _tidewater_appended; ALTER TABLE _tidewater_table DROP COLUMN at; UPDATE _tidewater_table SET top = NULL;
         CREATE TRIGGER \"_tidewater_1_i\" AFTER INSERT ON \"t\" BEGIN INSERT INTO _tidewater_log(tab, at, k1) VALUES (1, julianday('now'), NEW.\"id\"); END;
         UPDATE _tidewater_control SET cookie = (SELECT schema_version FROM pragma_schema_version);",
    );
    g.write('a', &append('a', 3, 50));
    let status =
        tidewater_sqlite::status(&Database::new(g.path('a')), &Env::real()).expect("also before it is taken up");
    assert_eq!(status.replica.map(|replica| replica.pending), Some(48));
    g.meet("ab");
    g.write('a', &append('a', 51, 100));
    assert!(log(&g, 'a').1, "a range is open");
    g.meet("ab");
    assert_eq!(g.same("ab", "t").lines().count(), 100);
}

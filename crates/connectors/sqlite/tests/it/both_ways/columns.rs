//! What of a row counts as written.

use super::group::{group, later};
use tidewater_core::merge::Rule;

#[test]
fn an_update_that_changes_nothing_is_no_write() {
    let g = group("ab", "CREATE TABLE t(id INTEGER PRIMARY KEY, v, w);");
    g.write('a', "INSERT INTO t VALUES (1, 1, 1)");
    g.meet("ab");
    g.write('a', "UPDATE t SET v = 2; UPDATE t SET v = 1");
    g.write('b', "UPDATE t SET v = 7");
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "1|7|1");
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn triggers_and_cascades_of_the_user_travel_as_writes_of_their_own() {
    let g = group(
        "ab",
        "CREATE TABLE p(id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0);
         CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id) ON DELETE CASCADE);
         CREATE TRIGGER counted AFTER INSERT ON c BEGIN UPDATE p SET n = n + 1 WHERE id = NEW.p; END;",
    );
    g.write('a', "INSERT INTO p(id) VALUES (1), (2); INSERT INTO c VALUES (10, 1), (11, 1), (20, 2)");
    g.meet("ab");
    assert_eq!(g.same("ab", "p"), "1|2\n2|1");
    g.write('b', "PRAGMA foreign_keys = on; DELETE FROM p WHERE id = 1");
    g.meet("ab");
    assert_eq!((g.same("ab", "p"), g.same("ab", "c")), ("2|1".into(), "20|2".into()));
}

#[test]
fn replace_and_upsert_are_seen() {
    let g = group("ab", "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, v);");
    g.write('a', "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2)");
    g.meet("ab");
    g.write('b', "INSERT OR REPLACE INTO t VALUES (3, 'one', 3); INSERT INTO t VALUES (2, 'x', 9) ON CONFLICT (id) DO UPDATE SET v = 9");
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "2|two|9\n3|one|3");
}

#[test]
fn a_column_added_on_one_side_is_added_on_the_others_and_makes_no_write() {
    let g = group("abc", "CREATE TABLE t(id INTEGER PRIMARY KEY, m TEXT, z TEXT);");
    g.write('a', "INSERT INTO t SELECT value, 'm' || value, 'z' FROM generate_series(1, 300)");
    g.meet("abc");
    // A conflict stands in the journal, and a row was written but not yet sealed.
    g.write('a', "UPDATE t SET m = 'a' WHERE id = 1");
    later();
    g.write('b', "UPDATE t SET m = 'b' WHERE id = 1");
    g.meet("abc");
    g.write('b', "UPDATE t SET z = 'pending' WHERE id = 2; DELETE FROM t WHERE id = 3");
    // The new column comes first in the order of columns, and in between.
    g.write('a', "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT '7'; ALTER TABLE t ADD COLUMN n TEXT");
    let report = g.meet("abc");
    assert_eq!(report.members.iter().map(|m| m.upserts + m.deletes).collect::<Vec<_>>(), [2, 0, 2], "{report:?}");
    assert_eq!(report.members[1].added, [("t".into(), "b".into()), ("t".into(), "n".into())]);
    let held = g.same("abc", "t");
    assert!(held.starts_with("1|b|z|7|\n2|m2|pending|7|\n4|m4|z|7|\n"), "{}", &held[..60]);
    // Each column by itself, as before, and the loser can still be put back.
    g.write('a', "UPDATE t SET n = 'from a' WHERE id = 1");
    g.write('c', "UPDATE t SET b = 8 WHERE id = 1");
    g.meet("abc");
    assert!(g.same("abc", "t").starts_with("1|b|z|8|from a\n"));
    let entry = g.conflicts('a').remove(0);
    g.settle('a', &entry, tidewater_core::replica::Choice::Restore);
    g.meet("abc");
    assert!(g.same("abc", "t").starts_with("1|a|z|8|from a\n"), "{}", g.same("abc", "t"));
}

#[test]
fn a_column_added_while_a_member_is_away_and_filled_meanwhile_arrives() {
    for rule in [Rule::Merge, Rule::LastWriter] {
        let mut g = group("abc", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, UNIQUE (v));");
        g.settings.policy.row = rule;
        g.write('a', "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')");
        g.meet("abc");
        g.write('a', "ALTER TABLE t ADD COLUMN a TEXT; UPDATE t SET a = 'filled' WHERE id < 3");
        g.meet("ab");
        g.write('c', "UPDATE t SET v = 'c' WHERE id = 3; INSERT INTO t VALUES (4, 'four')");
        g.meet("bc");
        g.meet("ab");
        assert_eq!(g.same("abc", "t"), "1|one|filled\n2|two|filled\n3|c|\n4|four|");
    }
}

#[test]
fn a_column_added_to_more_rows_than_are_looked_at_at_once_is_no_write_of_any() {
    for key in ["INTEGER PRIMARY KEY", "TEXT PRIMARY KEY"] {
        let g = group("ab", &format!("CREATE TABLE t(id {key}, m TEXT, z TEXT);"));
        g.write('a', "INSERT INTO t SELECT printf('%05d', value), 'm', 'z' FROM generate_series(1, 10002)");
        g.meet("ab");
        // Around the ends of the chunks: rows that are gone, and rows whose columns are written on both sides.
        g.write('b', "DELETE FROM t WHERE id IN ('05000', '10001', 5000, 10001)");
        g.meet("ab");
        g.write('a', "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7");
        let report = g.meet("ab");
        assert_eq!(report.members.iter().map(|m| m.upserts + m.deletes).sum::<u64>(), 0, "{key}: {report:?}");
        // Versions that kept the columns of before could not be joined.
        g.write('a', "UPDATE t SET m = 'a'");
        g.write('b', "UPDATE t SET b = 8");
        g.meet("ab");
        assert_eq!(g.count('a', "t WHERE m = 'a' AND z = 'z' AND b = 8"), 10_000, "{key}");
        assert_eq!(g.same("ab", "t").lines().count(), 10_000, "{key}");
        assert!(g.conflicts('a').is_empty(), "{key}");
    }
}

#[test]
fn a_column_that_is_dropped_or_renamed_is_said() {
    for change in ["ALTER TABLE t DROP COLUMN v", "ALTER TABLE t RENAME COLUMN v TO w"] {
        let g = group("ab", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);");
        g.write('a', "INSERT INTO t VALUES (1, 'one')");
        g.meet("ab");
        for member in ['a', 'b'] {
            g.write(member, change);
        }
        let error = g.try_meet("ab").expect_err("it is not followed yet");
        assert_eq!(error.code, tidewater_core::code::HALTED, "{error}");
        assert!(error.to_string().contains("teardown"), "{error}");
    }
}

//! What of a row counts as written.

use super::group::group;

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

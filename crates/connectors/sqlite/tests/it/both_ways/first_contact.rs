//! The first time that two sides meet.

use super::group::group;
use tidewater_core::code;
use tidewater_core::link::Prefer;
use tidewater_core::merge::Kind;
use tidewater_core::replica::Choice;

const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, at INTEGER);";

#[test]
fn equal_rows_are_one_and_the_rest_is_a_union() {
    let g = group("ab", &format!("{T} INSERT INTO t VALUES (1, 'same', 1)"));
    g.write('a', "INSERT INTO t VALUES (2, 'only a', 1)");
    g.write('b', "INSERT INTO t VALUES (3, 'only b', 1)");
    let report = g.meet("ab");
    assert_eq!(report.members.iter().map(|m| m.adopted).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(g.same("ab", "t").lines().count(), 3);
    // Afterwards a delete is a delete.
    g.write('a', "DELETE FROM t WHERE id IN (1, 3)");
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "2|only a|1");
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn different_rows_are_refused_without_a_word_and_nothing_is_written() {
    let g = group("ab", T);
    g.write('a', "INSERT INTO t VALUES (1, 'a', 1), (2, 'same', 1)");
    g.write('b', "INSERT INTO t VALUES (1, 'b', 2), (2, 'same', 1)");
    let error = g.try_meet("ab").expect_err("they differ");
    assert_eq!(error.code, code::FIRST_CONTACT_DIFFERS, "{error}");
    assert!(error.to_string().contains("1 equal  1 differ") && error.to_string().contains("--prefer"), "{error}");
    for member in ['a', 'b'] {
        assert_eq!(g.count(member, "sqlite_schema WHERE name LIKE '_tidewater%'"), 0);
    }
}

#[test]
fn a_preference_decides_and_the_others_are_in_the_journal() {
    for (prefer, shown) in [
        (Prefer::Member(0), "1|a|1\n2|a|9"),
        (Prefer::Member(1), "1|b|2\n2|b|3"),
        (Prefer::Newest("at".into()), "1|b|2\n2|a|9"),
    ] {
        let mut g = group("ab", T);
        g.write('a', "INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 9)");
        g.write('b', "INSERT INTO t VALUES (1, 'b', 2), (2, 'b', 3)");
        g.settings.prefer = Some(prefer.clone());
        let report = g.meet("ab");
        assert_eq!(g.same("ab", "t"), shown, "{prefer:?}");
        assert_eq!(report.conflicts(), 2);
        let journal: Vec<_> = [g.conflicts('a'), g.conflicts('b')].concat();
        let entry = journal.iter().find(|entry| entry.kind == Kind::FirstContact).expect("it is in a journal");
        assert_eq!(entry.run, report.run);
        let at = if g.conflicts('a').is_empty() { 'b' } else { 'a' };
        for entry in g.conflicts(at) {
            g.settle(at, &entry, Choice::Restore);
        }
        g.meet("ab");
        let swapped = shown.replace('a', "x").replace('b', "a").replace('x', "b");
        assert_eq!(g.same("ab", "t").replace(['1', '2', '3', '9'], ""), swapped.replace(['1', '2', '3', '9'], ""));
    }
}

#[test]
fn a_third_that_comes_later_meets_what_the_two_have_become() {
    let g = group("abc", &format!("{T} INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 1)"));
    g.meet("ab");
    g.write('a', "INSERT INTO t VALUES (3, 'three', 1)");
    g.meet("ab");
    g.write('c', "INSERT INTO t VALUES (4, 'four', 1)");
    g.meet("ca");
    g.meet("ab");
    assert_eq!(g.same("abc", "t").lines().count(), 4);
    assert!(g.conflicts('c').is_empty());
}

#[test]
fn tables_without_a_key_are_skipped_or_refused_by_name() {
    let mut g = group("ab", &format!("{T} CREATE TABLE log(line TEXT); INSERT INTO log VALUES ('x')"));
    let report = g.meet("ab");
    assert!(report.skipped.iter().any(|(name, _)| name == "log"), "{report:?}");
    g.settings.scope.tables = vec![tidewater_core::change::Pattern::new("log")];
    let error = g.try_meet("ab").expect_err("it has no key");
    assert_eq!(error.code, code::UNSUPPORTED_TABLE, "{error}");
}

#[test]
fn all_pairs_are_asked_about_also_where_the_first_has_nothing() {
    let g = group("bc", T);
    g.write('b', "INSERT INTO t VALUES (1, 'b', 1)");
    g.write('c', "INSERT INTO t VALUES (1, 'c', 2)");
    let error = g.try_meet("abc").expect_err("b and c differ");
    assert_eq!(error.code, code::FIRST_CONTACT_DIFFERS, "{error}");
    assert!(!g.path('a').exists() || g.count('a', "sqlite_schema") == 0);
}

#[test]
fn two_groups_that_never_met_are_asked_about() {
    let g = group("abcd", T);
    g.write('a', "INSERT INTO t VALUES (1, 'a', 1)");
    g.write('c', "INSERT INTO t VALUES (1, 'c', 2)");
    g.meet("ab");
    g.meet("cd");
    let error = g.try_meet("ac").expect_err("they differ, and have no common past");
    assert_eq!(error.code, code::FIRST_CONTACT_DIFFERS, "{error}");
}

#[test]
fn tables_of_another_shape_are_refused() {
    let shapes = [
        (
            "CREATE TABLE t(a INTEGER, b INTEGER, v, PRIMARY KEY (a, b))",
            "CREATE TABLE t(a INTEGER, b INTEGER, v, PRIMARY KEY (b, a))",
        ),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT UNIQUE)", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER)", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, v)", "CREATE TABLE t(id INTEGER PRIMARY KEY, v, w)"),
    ];
    for (one, other) in shapes {
        for (a, b) in [(one, other), (other, one)] {
            let g = group("ab", "");
            g.write('a', a);
            g.write('b', b);
            let error = g.try_meet("ab").expect_err("they are not alike");
            assert_eq!(error.code, code::COLUMNS_DIFFER, "{a} / {b}: {error}");
            assert_eq!(g.count('a', "sqlite_schema WHERE name LIKE '_tidewater%'"), 0);
        }
    }
}

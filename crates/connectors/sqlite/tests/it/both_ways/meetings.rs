//! Who meets whom, and in what order.

use super::group::group;

const NOTES: &str = "CREATE TABLE notes(id INTEGER PRIMARY KEY, title TEXT, body TEXT, n REAL);";

#[test]
fn what_either_side_writes_reaches_the_other() {
    let g = group("ab", NOTES);
    g.write('a', "INSERT INTO notes VALUES (1, 'from a', NULL, 1.5)");
    g.write('b', "INSERT INTO notes VALUES (2, 'from b', x'00ff', 2)");
    let report = g.meet("ab");
    assert_eq!((report.members[0].upserts, report.members[1].upserts), (1, 1), "{report:?}");
    assert_eq!(g.same("ab", "notes").lines().count(), 2);
    g.write('a', "UPDATE notes SET title = 'changed at a' WHERE id = 2; DELETE FROM notes WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "notes").lines().count(), 1);
    assert!(g.same("ab", "notes").contains("changed at a"));
    let again = g.meet("ab");
    assert_eq!(again.members.iter().map(|m| m.changes() + m.known).sum::<u64>(), 0, "{again:?}");
    assert!(g.conflicts('a').is_empty() && g.conflicts('b').is_empty());
}

#[test]
fn a_side_that_is_missing_is_created_and_filled() {
    let g = group(
        "a",
        &format!("{NOTES} INSERT INTO notes SELECT value, 't' || value, 'b', value FROM generate_series(1, 3000)"),
    );
    let report = g.meet("ab");
    assert_eq!(report.members[1].created, ["notes"]);
    assert_eq!(g.same("ab", "notes").lines().count(), 3_000);
    g.write('b', "DELETE FROM notes WHERE id % 3 = 0; UPDATE notes SET n = -n WHERE id % 5 = 0");
    g.meet("ba");
    assert_eq!(g.same("ab", "notes").lines().count(), 2_000);
}

#[test]
fn chains_rings_and_stars_converge() {
    let g = group("abcd", NOTES);
    for (member, base) in [('a', 10), ('b', 20), ('c', 30), ('d', 40)] {
        g.write(
            member,
            &format!("INSERT INTO notes(id, title) VALUES ({base}, '{member}'), ({}, '{member}2')", base + 1),
        );
    }
    // A chain, there and back.
    for pair in ["ab", "bc", "cd", "cb", "ba"] {
        g.meet(pair);
    }
    assert_eq!(g.same("abcd", "notes").lines().count(), 8);
    // A ring.
    g.write('a', "UPDATE notes SET body = 'a' WHERE id = 40");
    g.write('c', "UPDATE notes SET title = 'c' WHERE id = 40");
    for pair in ["ab", "bc", "cd", "da", "ab", "bc"] {
        g.meet(pair);
    }
    assert!(g.same("abcd", "notes").contains("40|c|a|"));
    // A star, some of whom are away.
    g.write('d', "DELETE FROM notes WHERE id < 20");
    g.meet("bad");
    g.meet("bc");
    assert_eq!(g.same("abcd", "notes").lines().count(), 6);
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn a_member_that_is_away_catches_up() {
    let mut g = group("abc", NOTES);
    g.settings.sync = "notes".into();
    g.write('a', "INSERT INTO notes(id, title) VALUES (1, 'one')");
    g.meet("abc");
    g.write('c', "INSERT INTO notes(id, title) VALUES (3, 'offline')");
    for n in 10..15 {
        g.write('a', &format!("INSERT INTO notes(id, title) VALUES ({n}, 'more')"));
        g.meet("ab");
    }
    g.meet("bc");
    g.meet("ab");
    assert_eq!(g.same("abc", "notes").lines().count(), 7);
}

#[test]
fn rows_of_other_syncs_are_not_lost() {
    let mut g = group("abc", "CREATE TABLE x(id INTEGER PRIMARY KEY, v); CREATE TABLE y(id INTEGER PRIMARY KEY, v);");
    let only = |name: &str| vec![tidewater_core::change::Pattern::new(name)];
    // a and b share x; b and c share y; b's log tells of both.
    g.settings.scope.tables = only("x");
    g.meet("ab");
    g.settings.scope.tables = only("y");
    g.meet("bc");
    g.write('b', "INSERT INTO x VALUES (1, 'x'); INSERT INTO y VALUES (1, 'y')");
    g.settings.scope.tables = only("x");
    g.meet("ab");
    g.settings.scope.tables = only("y");
    g.meet("bc");
    assert_eq!(g.same("bc", "y"), "1|y");
    assert_eq!(g.same("ab", "x"), "1|x");
    // Then all share everything.
    g.settings.scope.tables = vec![];
    g.meet("abc");
    assert_eq!((g.same("abc", "x"), g.same("abc", "y")), ("1|x".into(), "1|y".into()));
}

#[test]
fn keys_of_every_kind_are_known_again() {
    let g = group(
        "ab",
        "CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TABLE c(a TEXT, b INTEGER, v, PRIMARY KEY (a, b));
         CREATE TABLE n(k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v);
         CREATE TABLE \"odd \"\" name\"(\"k k\" BLOB PRIMARY KEY NOT NULL, \"größe\" REAL);",
    );
    g.write(
        'a',
        "INSERT INTO t VALUES ('é', 1), ('', 2); INSERT INTO c VALUES ('x', -1, 1), ('x', 9223372036854775807, 2)",
    );
    g.write('b', "INSERT INTO n VALUES ('Key', 1); INSERT INTO \"odd \"\" name\" VALUES (x'00', 1.0), (x'', 9e999)");
    g.meet("ab");
    g.write('b', "UPDATE t SET k = 'ë' WHERE k = 'é'; UPDATE c SET b = 0 WHERE b = -1");
    g.write('a', "UPDATE n SET k = 'KEY', v = 2 WHERE k = 'key'");
    g.meet("ab");
    for table in ["t", "c", "n", "\"odd \"\" name\""] {
        assert_eq!(g.same("ab", table).lines().count(), if table == "n" { 1 } else { 2 }, "{table}");
    }
    assert_eq!(g.same("ab", "n"), "KEY|2");
}

#[test]
fn rows_that_all_have_go_round_no_more() {
    let g = group(
        "abc",
        &format!("{NOTES} INSERT INTO notes SELECT value, 't' || value, 'b', value FROM generate_series(1, 200)"),
    );
    for _ in 0..2 {
        for pair in ["ab", "bc", "ca"] {
            g.meet(pair);
        }
    }
    for pair in ["ab", "bc", "ca"] {
        let report = g.meet(pair);
        assert_eq!(report.members.iter().map(|m| m.changes() + m.known).sum::<u64>(), 0, "{pair}: {report:?}");
    }
}

#[test]
fn a_row_whose_flag_comes_and_goes_is_not_forgotten() {
    let g = group("ab", NOTES);
    g.write('a', "INSERT INTO notes(id, title) VALUES (1, 'one')");
    g.meet("ab");
    for round in 0..5 {
        g.write('a', &format!("UPDATE notes SET title = 'round {round}', n = 1 WHERE id = 1"));
        g.write('a', "UPDATE notes SET n = NULL WHERE id = 1");
        g.meet("ab");
        assert_eq!(g.same("ab", "notes"), format!("1|round {round}||"));
    }
}

#[test]
fn replicas_that_have_met_through_others_meet_as_relatives() {
    let g = group("abc", NOTES);
    g.write('a', "INSERT INTO notes(id, title) VALUES (1, 'one')");
    g.meet("ab");
    g.meet("bc");
    // They hold different contents of one row, but know where these come from.
    g.write('a', "UPDATE notes SET title = 'a' WHERE id = 1");
    g.write('c', "UPDATE notes SET body = 'c' WHERE id = 1");
    g.meet("ac");
    assert_eq!(g.same("ac", "notes"), "1|a|c|");
}

#[test]
fn sides_whose_sums_differ_are_not_in_step() {
    let g = group("ab", NOTES);
    g.write('a', "INSERT INTO notes(id, title) VALUES (1, 'one')");
    g.meet("ab");
    g.write('a', "UPDATE _tidewater_shared SET digest = zeroblob(16)");
    let report = g.try_meet("ab").expect("they meet");
    assert!(!report.in_step, "{report:?}");
    assert!(report.notices.iter().any(|notice| notice.contains("different rows")), "{report:?}");
}

#[test]
fn a_write_that_fires_no_triggers_is_found_when_its_row_is_asked_for() {
    let g = group("abc", NOTES);
    g.write('a', "INSERT INTO notes(id, title) VALUES (1, 'one'), (2, 'two')");
    g.meet("ab");
    g.write('a', ".dbconfig enable_trigger off\nUPDATE notes SET title = 'unseen' WHERE id = 1");
    g.meet("ac");
    g.meet("ab");
    assert_eq!(g.same("abc", "notes"), "1|unseen||\n2|two||");
}

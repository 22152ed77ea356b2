//! Rows that claim the same unique value.

use super::group::group;
use tidewater_core::merge::Kind;

const USER: &str = "CREATE TABLE user(id INTEGER PRIMARY KEY, email TEXT UNIQUE, age INTEGER);";

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}

#[test]
fn the_earlier_claim_is_shown_and_the_other_row_is_kept_until_its_place_is_free() {
    let g = group("abc", USER);
    g.meet("abc");
    g.write('b', "INSERT INTO user VALUES (2, 'x@y', 20)");
    pause();
    g.write('a', "INSERT INTO user VALUES (1, 'x@y', 10)");
    let report = g.meet("ab");
    g.meet("bc");
    assert_eq!(g.same("abc", "user"), "2|x@y|20");
    assert_eq!(report.members.iter().map(|m| m.parked).max(), Some(1), "{report:?}");
    let entry = g.conflicts('a').remove(0);
    assert_eq!((entry.kind, entry.ended_ms), (Kind::Unique, None));
    assert_eq!(g.conflicts('b')[0].id, entry.id);
    // Another column of either row changes nothing.
    g.write('b', "UPDATE user SET age = 21");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "2|x@y|21");
    // The place becomes free: the row comes back everywhere.
    g.write('c', "UPDATE user SET email = 'other' WHERE id = 2");
    g.meet("bc");
    g.meet("ab");
    g.meet("bc");
    assert_eq!(g.same("abc", "user"), "1|x@y|10\n2|other|21");
    assert!(g.conflicts('a')[0].ended_ms.is_some());
}

#[test]
fn swapped_values_are_no_collision() {
    let g = group("ab", USER);
    g.write('a', "INSERT INTO user VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)");
    g.meet("ab");
    g.write('a', "UPDATE user SET email = 'tmp' WHERE id = 1; UPDATE user SET email = 'one' WHERE id = 2; UPDATE user SET email = 'two' WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "1|two|1\n2|one|2\n3|three|3");
    assert!(g.conflicts('a').is_empty() && g.conflicts('b').is_empty(), "{:?}", g.conflicts('b'));
}

#[test]
fn who_is_shown_does_not_depend_on_who_met_whom() {
    let orders = [["ab", "bc", "ab"], ["bc", "ab", "bc"], ["ac", "ab", "bc"], ["cb", "ca", "ab"]];
    let mut outcomes = Vec::new();
    for order in orders {
        let g = group("abc", "CREATE TABLE u(id INTEGER PRIMARY KEY, p TEXT UNIQUE, q TEXT UNIQUE);");
        g.meet("abc");
        g.write('a', "INSERT INTO u VALUES (1, 'p', 'a')");
        pause();
        g.write('b', "INSERT INTO u VALUES (2, 'p', 'q'), (4, 'b', 'b')");
        pause();
        g.write('c', "INSERT INTO u VALUES (3, 'c', 'q'), (5, 'b', 'c')");
        for pair in order {
            g.meet(pair);
        }
        g.meet("abc");
        outcomes.push(g.same("abc", "u"));
    }
    // 1 is earliest; 2 stands aside for it, and so 3 is free of 2; 5 stands aside for 4.
    assert!(outcomes.iter().all(|outcome| outcome == "1|p|a\n3|c|q\n4|b|b"), "{outcomes:?}");
}

#[test]
fn a_row_that_stands_aside_can_be_changed_and_deleted() {
    let g = group("ab", USER);
    g.meet("ab");
    g.write('a', "INSERT INTO user VALUES (1, 'x', 10)");
    pause();
    g.write('b', "INSERT INTO user VALUES (2, 'x', 20)");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "1|x|10");
    // Whoever writes under its key writes over it.
    g.write('b', "INSERT INTO user VALUES (2, 'free', 21)");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "1|x|10\n2|free|21");
    g.write('a', "DELETE FROM user");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "");
}

#[test]
fn a_key_spelled_otherwise_is_a_collision_too() {
    let g = group("ab", "CREATE TABLE n(k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v);");
    g.meet("ab");
    g.write('a', "INSERT INTO n VALUES ('key', 'a')");
    pause();
    g.write('b', "INSERT INTO n VALUES ('KEY', 'b')");
    g.meet("ab");
    assert_eq!(g.same("ab", "n"), "key|a");
    g.write('a', "DELETE FROM n");
    g.meet("ab");
    assert_eq!(g.same("ab", "n"), "KEY|b");
}

//! Rows that claim the same unique value.

use super::group::{group, later};
use tidewater_core::merge::{Kind, Policy, Rule};

const USER: &str = "CREATE TABLE user(id INTEGER PRIMARY KEY, email TEXT UNIQUE, age INTEGER);";

#[test]
fn the_earlier_claim_is_shown_and_the_other_row_is_kept_until_its_place_is_free() {
    let g = group("abc", USER);
    g.meet("abc");
    g.write('b', "INSERT INTO user VALUES (2, 'x@y', 20)");
    later();
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
        later();
        g.write('b', "INSERT INTO u VALUES (2, 'p', 'q'), (4, 'b', 'b')");
        later();
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
    later();
    g.write('b', "INSERT INTO user VALUES (2, 'x', 20)");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "1|x|10");
    // Whoever writes under its key has not seen it: it is in the journal, and can be put back.
    g.write('b', "INSERT INTO user VALUES (2, 'free', 21)");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "1|x|10\n2|free|21");
    let entry = g.conflicts('b').into_iter().find(|entry| entry.kind == Kind::Unique).expect("it is in the journal");
    assert_eq!(entry.sides[0].content.as_ref().map(ToString::to_string), Some("2, 'x', 20".into()));
    assert!(entry.ended_ms.is_some());
    g.write('a', "DELETE FROM user");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "");
}

#[test]
fn a_key_spelled_otherwise_is_a_collision_too() {
    let g = group("ab", "CREATE TABLE n(k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v);");
    g.meet("ab");
    g.write('a', "INSERT INTO n VALUES ('key', 'a')");
    later();
    g.write('b', "INSERT INTO n VALUES ('KEY', 'b')");
    g.meet("ab");
    assert_eq!(g.same("ab", "n"), "key|a");
    g.write('a', "DELETE FROM n");
    g.meet("ab");
    assert_eq!(g.same("ab", "n"), "KEY|b");
}

#[test]
fn a_row_that_breaks_a_check_wherever_it_is_put_does_not_push_others_out() {
    let g = group(
        "ab",
        "CREATE TABLE s(id INTEGER PRIMARY KEY, email TEXT UNIQUE, low INTEGER, high INTEGER, CHECK (low <= high));
         INSERT INTO s VALUES (1, 'p', 10, 20);",
    );
    g.meet("ab");
    g.write('a', "UPDATE s SET low = 19 WHERE id = 1");
    later();
    g.write('b', "UPDATE s SET high = 11, email = 'x' WHERE id = 1");
    later();
    g.write('a', "INSERT INTO s VALUES (2, 'x', 1, 2)");
    g.meet("ab");
    // Put together it breaks the CHECK; whole it claimed its value earlier than the other row.
    assert_eq!(g.same("ab", "s"), "1|x|10|11");
}

#[test]
fn a_unique_value_does_not_decide_what_a_row_is_put_together_from() {
    let g = group(
        "ab",
        "CREATE TABLE u(id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT); INSERT INTO u VALUES (1, 'p', 'n');",
    );
    g.meet("ab");
    g.write('b', "INSERT INTO u VALUES (2, 'x', 'r')");
    later();
    g.write('a', "UPDATE u SET email = 'x' WHERE id = 1");
    later();
    g.write('b', "UPDATE u SET name = 'm' WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "u"), "2|x|r");
    g.write('b', "UPDATE u SET email = 'free' WHERE id = 2");
    g.meet("ab");
    assert_eq!(g.same("ab", "u"), "1|x|m\n2|free|r");
}

#[test]
fn a_row_is_not_pushed_out_before_what_was_written_to_it_is_sealed() {
    let g = group("ab", USER);
    g.write('a', "INSERT INTO user VALUES (3, 'three', 3)");
    g.meet("ab");
    g.write('a', "INSERT INTO user VALUES (1, 'x', 10)");
    later();
    g.write('b', "INSERT INTO user VALUES (2, 'x', 20)");
    g.meet("ab");
    assert_eq!(g.same("ab", "user"), "1|x|10\n3|three|3");
    later();
    // In one transaction the place becomes free, more rows are written than are sealed at once, and it is taken.
    g.write(
        'a',
        "BEGIN; DELETE FROM user WHERE id = 1;
         INSERT INTO user SELECT value, 'v' || value, 0 FROM generate_series(100, 6000);
         UPDATE user SET email = 'x', age = 33 WHERE id = 3; COMMIT;",
    );
    g.meet("ab");
    assert!(g.same("ab", "user").starts_with("2|x|20\n100|"), "2 claimed it earlier than 3 did");
    g.write('b', "UPDATE user SET email = 'y' WHERE id = 2");
    g.meet("ab");
    assert!(g.same("ab", "user").starts_with("2|y|20\n3|x|33\n100|"), "what was written to 3 is not lost");
}

#[test]
fn editing_either_row_changes_nothing_about_who_is_shown_under_any_rule() {
    for rule in [Rule::LastWriter, Rule::FirstWriter, Rule::Manual, Rule::Merge] {
        let mut g = group("ab", USER);
        g.settings.policy = Policy { row: rule.clone(), ..Policy::default() };
        g.meet("ab");
        g.write('a', "INSERT INTO user VALUES (1, 'x', 10)");
        later();
        g.write('b', "INSERT INTO user VALUES (2, 'x', 20)");
        g.meet("ab");
        g.write('b', "UPDATE user SET age = 11");
        g.meet("ab");
        assert_eq!(g.same("ab", "user"), "1|x|11", "{rule:?}");
    }
}

#[test]
fn a_row_put_together_is_the_same_one_wherever_another_was_in_its_way() {
    let g = group("abc", "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT UNIQUE, w TEXT);");
    g.write('a', "INSERT INTO t VALUES (1, 'x', NULL)");
    g.meet("abc");
    g.write('c', "INSERT INTO t VALUES (9, 'y', 'c')");
    later();
    g.write('a', "UPDATE t SET u = 'y' WHERE id = 1");
    later();
    g.write('b', "UPDATE t SET w = 'b' WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "t"), "1|y|b");
    // At c row 9 is in its way. That is no reason to show the last writer's row, whole, with the value from before.
    g.meet("bc");
    g.meet("ab");
    assert_eq!(g.same("abc", "t"), "9|y|c");
    g.write('b', "DELETE FROM t WHERE id = 9");
    g.meet("abc");
    assert_eq!(g.same("abc", "t"), "1|y|b");
}

#[test]
fn a_row_in_conflict_that_stands_aside_comes_back_once() {
    let g = group("abc", USER);
    g.meet("abc");
    g.write('a', "INSERT INTO user VALUES (2, 'x', 20)");
    later();
    g.write('b', "INSERT INTO user VALUES (1, 'x', 10)");
    later();
    g.write('c', "INSERT INTO user VALUES (1, 'x', 11)");
    g.meet("abc");
    assert_eq!(g.same("abc", "user"), "2|x|20");
    g.write('a', "DELETE FROM user WHERE id = 2");
    g.meet("abc");
    assert_eq!(g.same("abc", "user"), "1|x|11");
    for member in ['a', 'b', 'c'] {
        assert_eq!(g.count(member, "_tidewater_parked"), 0, "{member}");
    }
}

//! What happens to writes that did not know of each other, and what a person can do about it.

use super::group::{Group, group, later};
use tidewater_core::change::Value;
use tidewater_core::merge::{DeleteUpdate, Kind, Policy, Rule};
use tidewater_core::replica::Choice;

const ITEM: &str = "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, note TEXT);";

fn met() -> Group {
    met_with(Policy::default())
}

fn met_with(policy: Policy) -> Group {
    let mut g = group("ab", ITEM);
    g.settings.policy = policy;
    g.write('a', "INSERT INTO item VALUES (1, 'tea', 3, 'green'), (2, 'coffee', 5, 'black'), (3, 'cocoa', 4, 'sweet')");
    g.meet("ab");
    g
}

#[test]
fn different_columns_both_survive_without_a_conflict() {
    let g = met();
    g.write('a', "UPDATE item SET price = 30 WHERE id = 1");
    g.write('b', "UPDATE item SET note = 'white' WHERE id = 1");
    g.meet("ab");
    assert!(g.same("ab", "item").contains("1|tea|30|white"), "{}", g.same("ab", "item"));
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn the_same_column_falls_to_the_later_write_and_the_other_is_in_the_journal() {
    let g = met();
    g.write('b', "UPDATE item SET price = 40 WHERE id = 1");
    later();
    g.write('a', "UPDATE item SET price = 30, name = 'Tea' WHERE id = 1");
    // Sealed in the other order than they were written: the log has the time.
    let report = g.meet("ba");
    assert_eq!(report.conflicts(), 1, "{report:?}");
    assert!(g.same("ab", "item").contains("1|Tea|30|green"), "{}", g.same("ab", "item"));
    let (ours, theirs) = (g.conflicts('a'), g.conflicts('b'));
    assert_eq!((ours.len(), theirs.len(), ours[0].id), (1, 1, theirs[0].id));
    let entry = &ours[0];
    assert_eq!((entry.kind, entry.open, entry.sides.len()), (Kind::Update, false, 2));
    assert_eq!(entry.collided.iter().map(|at| entry.columns[*at].as_str()).collect::<Vec<_>>(), ["price"]);
    assert_eq!(
        entry.sides.iter().map(|s| (s.endpoint.as_deref(), s.won)).collect::<Vec<_>>(),
        [(Some("b"), false), (Some("a"), true)]
    );
    // Put back: the loser's price, and nothing else.
    assert!(g.settle('b', &theirs[0], Choice::Restore));
    g.meet("ab");
    assert!(g.same("ab", "item").contains("1|Tea|40|green"), "{}", g.same("ab", "item"));
    assert!(g.conflicts('a')[0].ended_ms.is_some() && g.conflicts('b')[0].ended_ms.is_some());
}

#[test]
fn a_delete_against_an_update_is_settled_as_configured() {
    for (delete_update, rows) in [(DeleteUpdate::KeepUpdate, 3), (DeleteUpdate::Delete, 2)] {
        let g = met_with(Policy { delete_update, ..Policy::default() });
        g.write('a', "DELETE FROM item WHERE id = 2");
        g.write('b', "UPDATE item SET price = 6 WHERE id = 2");
        g.meet("ab");
        assert_eq!(g.same("ab", "item").lines().count(), rows, "{delete_update:?}");
        let entry = g.conflicts('a').remove(0);
        assert_eq!((entry.kind, g.conflicts('b')[0].id), (Kind::DeleteUpdate, entry.id));
        g.settle('a', &entry, Choice::Restore);
        g.meet("ab");
        assert_eq!(g.same("ab", "item").lines().count(), 5 - rows, "the other one was put back");
    }
}

#[test]
fn equal_writes_on_both_sides_are_no_conflict_to_look_at() {
    let g = met();
    for member in ['a', 'b'] {
        g.write(member, "UPDATE item SET price = 9 WHERE id = 1; DELETE FROM item WHERE id = 2");
    }
    g.meet("ab");
    assert_eq!(g.same("ab", "item").lines().count(), 2);
    assert!(g.conflicts('a').is_empty(), "{:?}", g.conflicts('a'));
}

#[test]
fn manual_waits_for_a_choice() {
    let g = met_with(Policy { row: Rule::Manual, ..Policy::default() });
    g.write('a', "UPDATE item SET price = 30 WHERE id = 1");
    g.write('b', "UPDATE item SET price = 40 WHERE id = 1");
    g.meet("ab");
    let entry = g.conflicts('a').remove(0);
    assert!(entry.open, "{entry:?}");
    // An ordinary write does not close it.
    g.write('b', "UPDATE item SET note = 'still open' WHERE id = 1");
    g.meet("ab");
    let open: Vec<_> = g.conflicts('a').into_iter().filter(|entry| entry.open).collect();
    assert_eq!(open.len(), 1, "{open:?}");
    g.settle('a', &open[0], Choice::Set(vec![("price".into(), Value::I64(35))]));
    g.meet("ab");
    assert!(g.same("ab", "item").contains("1|tea|35|still open"), "{}", g.same("ab", "item"));
    assert!(g.conflicts('a').iter().chain(&g.conflicts('b')).all(|entry| !entry.open));
}

#[test]
fn every_rule_shows_the_same_on_both_sides() {
    let rules = [
        Rule::Merge,
        Rule::LastWriter,
        Rule::FirstWriter,
        Rule::Prefer("a".into()),
        Rule::Prefer("b".into()),
        Rule::Manual,
    ];
    for rule in rules {
        let g = met_with(Policy { row: rule.clone(), ..Policy::default() });
        g.write('a', "UPDATE item SET price = 30, note = 'a' WHERE id = 1");
        later();
        g.write('b', "UPDATE item SET price = 40, name = 'b' WHERE id = 1");
        g.meet("ab");
        let shown = g.same("ab", "item");
        let first = shown.lines().next().expect("a row");
        let expected = match &rule {
            Rule::Merge => "1|b|40|a",
            Rule::LastWriter | Rule::Manual => "1|b|40|green",
            Rule::FirstWriter => "1|tea|30|a",
            Rule::Prefer(endpoint) if endpoint == "a" => "1|tea|30|a",
            Rule::Prefer(_) => "1|b|40|green",
        };
        assert_eq!(first, expected, "{rule:?}");
        assert_eq!(g.conflicts('a').len(), 1, "{rule:?}");
    }
}

#[test]
fn a_merged_row_that_breaks_a_check_falls_back_to_a_whole_one() {
    let g = group("ab", "CREATE TABLE span(id INTEGER PRIMARY KEY, low INTEGER, high INTEGER, CHECK (low <= high));");
    g.write('a', "INSERT INTO span VALUES (1, 10, 20)");
    g.meet("ab");
    g.write('a', "UPDATE span SET low = 19 WHERE id = 1");
    later();
    g.write('b', "UPDATE span SET high = 11 WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "span"), "1|10|11");
    g.write('a', "UPDATE span SET high = 30 WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "span"), "1|10|30");
}

#[test]
fn rules_may_change_and_rows_in_conflict_are_shown_by_the_new_ones() {
    let mut g = group("abc", ITEM);
    g.write('a', "INSERT INTO item VALUES (1, 'tea', 3, 'green')");
    g.meet("abc");
    g.write('a', "UPDATE item SET price = 30 WHERE id = 1");
    later();
    g.write('b', "UPDATE item SET note = 'white' WHERE id = 1");
    g.meet("ab");
    assert_eq!(g.same("ab", "item"), "1|tea|30|white");
    // c is away while the rules change.
    g.settings.policy.row = Rule::LastWriter;
    g.meet("ab");
    assert_eq!(g.same("ab", "item"), "1|tea|3|white");
    g.meet("cb");
    assert_eq!(g.same("abc", "item"), "1|tea|3|white");
    g.settings.policy.row = Rule::Merge;
    g.meet("abc");
    assert_eq!(g.same("abc", "item"), "1|tea|30|white");
}

#[test]
fn two_who_have_different_rules_are_told() {
    let mut g = group("abc", ITEM);
    g.meet("ab");
    g.settings.policy.row = Rule::LastWriter;
    g.meet("bc");
    g.settings.policy.row = Rule::Merge;
    let error = g.try_meet("ac").expect_err("a never had the rules of c");
    assert_eq!(error.code, tidewater_core::code::RULES_DIFFER, "{error}");
}

#[test]
fn a_delete_under_manual_leaves_the_other_side_and_shows_it_everywhere() {
    let g = met_with(Policy { row: Rule::Manual, ..Policy::default() });
    g.write('a', "UPDATE item SET price = 30 WHERE id = 1");
    later();
    g.write('b', "UPDATE item SET price = 40 WHERE id = 1");
    g.meet("ab");
    assert!(g.same("ab", "item").contains("1|tea|40|green"), "{}", g.same("ab", "item"));
    // It is b's side that goes.
    g.write('b', "DELETE FROM item WHERE id = 1");
    g.meet("ab");
    assert!(g.same("ab", "item").contains("1|tea|30|green"), "{}", g.same("ab", "item"));
    for member in ['a', 'b'] {
        assert_eq!(g.conflicts(member).iter().filter(|entry| entry.open).count(), 1, "{member} waits for a person");
    }
}

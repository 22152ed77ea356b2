//! Each rule in stories of two or three replicas. `a`, `b` and `c` are the columns; node 1 belongs to `hq`.

use super::replica::{Replica, meet};
use super::world::{Case, dot, key, lacking, row};
use tidewater_core::change::{Row, Value};
use tidewater_core::merge::{
    Collision, DeleteUpdate, Dot, Kind, Orphans, Policy, PolicyError, Rule, Rules, Shown, Stamp, State,
};

fn columns(rules: &[(&str, Rule)]) -> Vec<(String, Rule)> {
    rules.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn merge() -> Case {
    Case::of(Policy::default())
}

fn row_rule(row: Rule) -> Case {
    Case::of(Policy { row, ..Policy::default() })
}

fn collision(columns: &[usize], winner: Dot, loser: Dot) -> Vec<Collision> {
    vec![Collision { columns: columns.to_vec(), winner, losers: vec![loser] }]
}

#[test]
fn edits_of_different_columns_both_survive_and_are_no_conflict() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    a.write(2, [2, 1, 1]);
    b.write(3, [1, 1, 3]);
    meet(&mut [a.clone(), b.clone()]);
    a.hear(&b);
    assert_eq!(a.row(), Some([2, 1, 3]));
    assert_eq!(a.conflict(), None);
    assert_eq!(a.shown().sources, [0, 1], "the row is put together");
    // The next write supersedes both.
    a.write(4, [2, 4, 3]);
    assert_eq!(a.siblings().len(), 1);
}

#[test]
fn a_column_written_on_both_sides_falls_to_the_later_stamp() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    let late = a.write(9, [2, 2, 1]);
    let early = b.write(3, [3, 1, 3]);
    a.hear(&b);
    b.hear(&a);
    assert_eq!((a.row(), b.row()), (Some([2, 2, 3]), Some([2, 2, 3])));
    let conflict = a.conflict().expect("a conflict");
    assert_eq!((conflict.kind, conflict.open), (Kind::Update, false));
    assert_eq!(conflict.collisions, collision(&[0], late, early));
    assert_eq!(conflict.id("t", &key()), b.conflict().expect("the same").id("t", &key()));
    assert_ne!(conflict.id("t", &key()), conflict.id("u", &key()));
}

#[test]
fn the_same_value_from_both_sides_is_no_conflict() {
    for case in [merge(), row_rule(Rule::Manual), row_rule(Rule::FirstWriter)] {
        let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
        a.write(2, [2, 1, 1]);
        b.write(3, [2, 1, 1]);
        a.hear(&b);
        b.hear(&a);
        assert_eq!((a.row(), a.conflict()), (Some([2, 1, 1]), None));
        assert_eq!(a.shown(), b.shown());
    }
}

#[test]
fn columns_together_come_from_one_hand() {
    let case = Case::of(Policy { together: vec![names(&["b", "a"])], ..Policy::default() });
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    // Amount here, currency there: 2 of the one and 3 of the other belong to nobody.
    let early = a.write(2, [2, 1, 1]);
    let late = b.write(3, [1, 3, 1]);
    a.write(4, [2, 1, 4]);
    a.hear(&b);
    assert_eq!(a.row(), Some([1, 3, 4]), "the group from b, the last column from a");
    assert_eq!(a.conflict().expect("a conflict").collisions, collision(&[0, 1], late, early));
}

#[test]
fn columns_of_several_origins_that_now_belong_together_still_come_from_one_hand() {
    let (before, after) = (merge(), Case::of(Policy { together: vec![names(&["a", "b"])], ..Policy::default() }));
    let [mut a, mut b, _] = Replica::three_with(&before, [1, 1, 1]);
    a.write(2, [2, 1, 1]);
    b.write(3, [1, 3, 1]);
    a.hear(&b);
    assert_eq!(a.row(), Some([2, 3, 1]));
    assert_eq!(super::world::shown(&a.state, &after.rules).content, Some(row([1, 3, 1])));
}

#[test]
fn an_update_outlives_a_delete_that_did_not_see_it() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    let update = a.write(2, [2, 1, 1]);
    let delete = b.delete(3);
    a.hear(&b);
    assert_eq!(a.row(), Some([2, 1, 1]));
    let conflict = a.conflict().expect("a conflict");
    assert_eq!((conflict.kind, conflict.open), (Kind::DeleteUpdate, false));
    assert_eq!(conflict.collisions, collision(&[], update, delete));
}

#[test]
fn a_delete_wins_where_it_is_set_to() {
    let case = Case::of(Policy { delete_update: DeleteUpdate::Delete, ..Policy::default() });
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    let update = a.write(3, [2, 1, 1]);
    let delete = b.delete(2);
    a.hear(&b);
    assert_eq!(a.row(), None);
    assert_eq!(a.conflict().expect("a conflict").collisions, collision(&[], delete, update));
    // Who inserts now has seen that there is no row.
    let insert = a.write(4, [4, 4, 4]);
    assert_eq!((a.row(), a.siblings()), (Some([4, 4, 4]), vec![insert]));
}

#[test]
fn two_deletes_are_no_conflict_and_an_insert_after_them_is_all_new() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    a.delete(2);
    b.delete(3);
    a.hear(&b);
    assert_eq!((a.row(), a.conflict()), (None, None));
    let insert = a.write(4, [1, 1, 1]);
    assert_eq!(a.siblings(), [insert]);
    assert!(a.state.siblings()[0].origins.is_empty());
}

#[test]
fn first_writer_keeps_the_earliest_until_somebody_who_saw_it_writes() {
    let case = row_rule(Rule::FirstWriter);
    let [mut a, mut b, mut c] = Replica::three(&case);
    a.write(2, [2, 2, 2]);
    b.write(1, [1, 1, 1]);
    c.hear(&a);
    c.hear(&b);
    assert_eq!(c.row(), Some([1, 1, 1]));
    assert_eq!(c.conflict().expect("a conflict").kind, Kind::Insert);
    c.write(3, [3, 1, 1]);
    a.hear(&c);
    assert_eq!(a.row(), Some([3, 1, 1]));
}

#[test]
fn prefer_takes_the_endpoints_write_else_the_last() {
    let case = row_rule(Rule::Prefer("hq".to_owned()));
    let [mut a, mut b, mut c] = Replica::three_with(&case, [1, 1, 1]);
    a.write(9, [9, 1, 1]);
    c.write(8, [8, 1, 1]);
    c.hear(&a);
    assert_eq!(c.row(), Some([9, 1, 1]), "nothing from hq: the last");
    b.write(2, [2, 1, 1]);
    c.hear(&b);
    assert_eq!(c.row(), Some([2, 1, 1]));
    assert_eq!(c.conflict().expect("a conflict").collisions[0].losers.len(), 2);
}

#[test]
fn a_manual_conflict_stays_open_under_writes_and_closes_by_a_choice() {
    let case = row_rule(Rule::Manual);
    let [mut a, mut b, mut c] = Replica::three_with(&case, [1, 1, 1]);
    let one = a.write(2, [2, 2, 2]);
    b.write(3, [3, 3, 3]);
    a.hear(&b);
    assert_eq!(a.row(), Some([3, 3, 3]), "the last writer's for the time being");
    assert!(a.conflict().is_some_and(|conflict| conflict.open));
    // A program goes on writing. What it saw is superseded, what it did not is not.
    let two = a.write(4, [3, 4, 3]);
    assert_eq!((a.row(), a.siblings()), (Some([3, 4, 3]), vec![one, two]));
    assert!(a.conflict().is_some_and(|conflict| conflict.open));
    // A replica that had written over the loser alone is not overruled either.
    c.hear(&a);
    let choice = a.resolve(5, [2, 4, 3]);
    assert_eq!((a.siblings(), a.conflict()), (vec![choice], None));
    c.write(6, [6, 6, 6]);
    c.hear(&a);
    assert!(c.conflict().is_some_and(|conflict| conflict.open), "the choice and a later write had not seen each other");
    assert_eq!(c.siblings().len(), 2);
}

#[test]
fn a_delete_under_manual_leaves_the_other_side() {
    let case = row_rule(Rule::Manual);
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    a.write(2, [2, 2, 2]);
    b.write(3, [3, 3, 3]);
    a.hear(&b);
    a.delete(4);
    assert_eq!(a.row(), Some([2, 2, 2]));
    let conflict = a.conflict().expect("still open");
    assert_eq!((conflict.kind, conflict.open), (Kind::DeleteUpdate, true));
    // Writing the row that is shown leaves the delete standing; a choice ends it.
    a.write(5, [5, 2, 2]);
    assert_eq!(a.siblings().len(), 2);
    a.resolve(6, [5, 2, 2]);
    assert_eq!((a.siblings().len(), a.conflict()), (1, None));
}

#[test]
fn where_deletes_win_an_insert_under_manual_leaves_the_update_standing() {
    let case = Case::of(Policy { row: Rule::Manual, delete_update: DeleteUpdate::Delete, ..Policy::default() });
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    let update = a.write(2, [2, 2, 2]);
    b.delete(3);
    a.hear(&b);
    assert_eq!(a.row(), None);
    let insert = a.write(4, [4, 4, 4]);
    assert_eq!((a.row(), a.siblings()), (Some([4, 4, 4]), vec![update, insert]));
    assert!(a.conflict().is_some_and(|conflict| conflict.open));
}

#[test]
fn a_manual_column_stays_open_while_the_others_merge() {
    let case = Case::of(Policy { columns: columns(&[("a", Rule::Manual)]), ..Policy::default() });
    let [mut a, mut b, mut c] = Replica::three_with(&case, [1, 1, 1]);
    let loser = a.write(2, [2, 2, 1]);
    let winner = b.write(3, [3, 1, 3]);
    a.hear(&b);
    assert_eq!(a.row(), Some([3, 2, 3]));
    let open = |replica: &Replica<'_>| replica.conflict().is_some_and(|conflict| conflict.open);
    assert!(open(&a));
    // Another column is written: its own conflict is settled, the manual one is not.
    let other = a.write(4, [3, 2, 4]);
    assert_eq!((a.row(), a.siblings()), (Some([3, 2, 4]), vec![loser, other]));
    assert_eq!(a.conflict().expect("still open").collisions, collision(&[0], winner, loser));
    // The column itself is written, by a program that saw only the winner.
    let over = a.write(5, [5, 2, 4]);
    assert_eq!(a.conflict().expect("still open").collisions, collision(&[0], over, loser));
    c.hear(&a);
    assert_eq!(c.shown(), a.shown());
    let choice = a.resolve(6, [5, 2, 4]);
    assert_eq!((a.siblings(), a.conflict()), (vec![choice], None));
    // The choice stands against one who went on without it.
    c.write(7, [5, 7, 4]);
    c.hear(&a);
    assert_eq!((c.row(), open(&c)), (Some([5, 7, 4]), false));
}

#[test]
fn a_loser_carried_on_elsewhere_is_not_settled_by_a_write_of_another_column() {
    let case = Case::of(Policy { columns: columns(&[("a", Rule::Manual)]), ..Policy::default() });
    let [mut a, mut b, mut c] = Replica::three_with(&case, [1, 1, 1]);
    let loser = a.write(2, [2, 1, 1]);
    c.hear(&a);
    c.write(4, [2, 1, 4]);
    let winner = b.write(3, [3, 1, 1]);
    b.hear(&a);
    b.write(5, [3, 5, 1]);
    b.hear(&c);
    assert_eq!(b.row(), Some([3, 5, 4]));
    assert_eq!(b.conflict().expect("still open").collisions, collision(&[0], winner, loser));
}

#[test]
fn two_choices_at_the_same_time_are_a_conflict_again() {
    let case = Case::of(Policy { columns: columns(&[("a", Rule::Manual)]), ..Policy::default() });
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    a.write(2, [2, 1, 1]);
    b.write(3, [3, 1, 1]);
    a.hear(&b);
    b.hear(&a);
    let kept = a.resolve(4, [3, 1, 1]);
    let taken = b.resolve(5, [2, 1, 1]);
    a.hear(&b);
    let conflict = a.conflict().expect("two people differ");
    assert_eq!((conflict.open, conflict.collisions), (true, collision(&[0], taken, kept)));
}

#[test]
fn deleting_a_row_settles_its_manual_columns() {
    let case = Case::of(Policy { columns: columns(&[("a", Rule::Manual)]), ..Policy::default() });
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    a.write(2, [2, 1, 1]);
    b.write(3, [3, 1, 1]);
    a.hear(&b);
    let delete = a.delete(4);
    assert_eq!((a.row(), a.siblings()), (None, vec![delete]));
}

#[test]
fn a_column_keeps_its_origin_over_a_chain_of_writes() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    let second = a.write(2, [1, 2, 1]);
    b.hear(&a);
    let third = b.write(3, [1, 2, 3]);
    a.hear(&b);
    a.write_some(4, [None, None, Some(3)]);
    let origins: Vec<Dot> = (0..3).map(|column| a.state.siblings()[0].origin(column).dot).collect();
    assert_eq!(origins, [dot(0, 1), second, third]);
    assert_eq!(a.row(), Some([1, 2, 3]), "what a change does not carry stays");
}

#[test]
fn a_later_write_of_a_column_overrules_one_that_only_carried_it() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    // b's clock is far behind, but it has written the column and a has not.
    a.write(90, [1, 1, 9]);
    b.write(2, [2, 1, 1]);
    a.hear(&b);
    assert_eq!((a.row(), a.conflict()), (Some([2, 1, 9]), None));
}

#[test]
fn writers_who_kept_different_values_after_deletes_are_ranked() {
    let case = merge();
    let [mut a, mut b, mut c, mut d] = [0, 1, 2, 3].map(|number| Replica::new(&case, number));
    let early = a.write(1, [1, 1, 1]);
    let late = b.write(2, [2, 2, 2]);
    // c sees the one row deleted and goes on with the other; d the other way round.
    c.hear(&a);
    c.delete(3);
    c.hear(&b);
    c.write(4, [2, 2, 4]);
    d.hear(&b);
    d.delete(3);
    d.hear(&a);
    d.write(5, [1, 1, 5]);
    meet(&mut [c.clone(), d.clone()]);
    c.hear(&d);
    assert_eq!(c.row(), Some([2, 2, 5]));
    let collisions = c.conflict().expect("a conflict").collisions;
    assert_eq!(collisions[0], Collision { columns: vec![0], winner: late, losers: vec![early] });
    // A third, whom neither has seen, does not win by their seeing each other.
    let mut e = Replica::new(&case, 4);
    let unseen = e.write(1, [0, 0, 0]);
    c.hear(&e);
    assert_eq!(c.row(), Some([2, 2, 5]));
    let collisions = c.conflict().expect("a conflict").collisions;
    assert_eq!(collisions[0], Collision { columns: vec![0], winner: late, losers: vec![early, unseen] });
}

#[test]
fn a_stamp_from_the_future_wins_but_loses_nothing() {
    let case = row_rule(Rule::LastWriter);
    let [mut a, mut b, mut c] = Replica::three_with(&case, [1, 1, 1]);
    let century = 4_000_000_000;
    a.write(century, [2, 2, 2]);
    b.write(3, [3, 3, 3]);
    c.hear(&a);
    c.write(4, [4, 4, 4]);
    let mut all = [a, b, c];
    meet(&mut all);
    assert_eq!(all[0].row(), Some([4, 4, 4]), "who has seen it is later, whatever the clock says");
    assert!(all[0].state.stamp_max() > Some(Stamp::next(century * 1000, None)));
    assert_eq!(all[0].siblings().len(), 2, "what nobody saw is still there");
    // At the end of time stamps are equal, and still nobody is lost.
    let [a, b, _] = &mut all;
    for replica in [&mut *a, &mut *b] {
        replica.write(u64::MAX / 1000, [5, 5, 5]);
        replica.write(u64::MAX / 1000, [6, 6, 6]);
    }
    meet(&mut all);
    assert_eq!((all[0].row(), all[0].siblings().len()), (Some([6, 6, 6]), 2));
}

#[test]
fn equal_rows_found_at_first_contact_are_one_write() {
    let case = merge();
    let [a, b, c] = Replica::three(&case);
    let mut all =
        [a.found([1, 1, 1], Stamp::GENESIS), b.found([1, 1, 1], Stamp(7 << 16)), c.found([1, 1, 1], Stamp::GENESIS)];
    meet(&mut all);
    assert_eq!((all[0].row(), all[0].siblings().len(), all[0].conflict()), (Some([1, 1, 1]), 1, None));
    assert_eq!(all[0].state.stamp_max(), Some(Stamp(7 << 16)), "the later of two stamps counts");
    let [mut d, e, mut f] = Replica::three(&case).map(|replica| replica.found([1, 1, 1], Stamp::GENESIS));
    d.hear(&e.found([2, 2, 2], Stamp(3 << 16)));
    f.hear(&all[0]);
    d.hear(&f);
    assert_eq!((d.row(), d.siblings().len()), (Some([1, 1, 1]), 2), "also where there is more to join");
    // A write supersedes what was found, for whoever meets it later.
    let [a, b, _] = &mut all;
    a.write(1, [2, 1, 1]);
    b.hear(a);
    assert_eq!((b.row(), b.siblings().len()), (Some([2, 1, 1]), 1));
}

#[test]
fn a_found_row_is_identified_by_key_and_content() {
    let at = |key: &Row, content: [i64; 3]| State::genesis(key, row(content), Stamp::GENESIS).siblings()[0].dot;
    let other_key: Row = [Value::I64(2)].into_iter().collect();
    assert_eq!(at(&key(), [1, 2, 3]), at(&key(), [1, 2, 3]));
    assert_ne!(at(&key(), [1, 2, 3]), at(&key(), [1, 2, 4]));
    assert_ne!(at(&key(), [1, 2, 3]), at(&other_key, [1, 2, 3]));
}

#[test]
fn different_rows_found_at_first_contact_are_a_conflict_of_their_own_kind() {
    let case = merge();
    let [a, b, _] = Replica::three(&case);
    let mut all = [a.found([1, 1, 1], Stamp::GENESIS), b.found([1, 2, 1], Stamp(5 << 16))];
    meet(&mut all);
    assert_eq!(all[0].row(), Some([1, 2, 1]), "the later stamp, where the rows give one");
    let conflict = all[0].conflict().expect("a conflict");
    assert_eq!((conflict.kind, &conflict.collisions[0].columns[..]), (Kind::FirstContact, &[1][..]));
    all[0].write(6, [1, 1, 1]);
    assert_eq!((all[0].siblings().len(), all[0].conflict()), (1, None));
}

#[test]
fn a_column_that_a_partial_replica_lacks_is_no_candidate() {
    let case = merge();
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    a.write(2, [2, 2, 1]);
    b.state = lacking(&b.state, &[0, 1]);
    b.write_some(3, [None, None, Some(3)]);
    assert_eq!(b.shown().content.expect("a row").values().next(), Some(Value::Unchanged));
    a.hear(&b);
    assert_eq!((a.row(), a.conflict()), (Some([2, 2, 3]), None));
}

#[test]
fn a_write_heard_back_from_a_partial_replica_is_still_whole() {
    for case in [merge(), row_rule(Rule::LastWriter)] {
        let [mut a, mut b, _] = Replica::three_with(&case, [1, 2, 3]);
        b.state = lacking(&b.state, &[0, 1]);
        let whole = a.state.clone();
        a.hear(&b);
        assert_eq!(a.state, whole);
        assert!(a.state.dominates(&b.state) && !b.state.dominates(&a.state));
        b.hear(&a);
        assert_eq!(b.state, whole);
    }
}

#[test]
fn a_merged_row_that_breaks_a_check_falls_back_to_the_last_writers() {
    let case = Case::of(Policy { columns: columns(&[("b", Rule::Manual)]), ..Policy::default() });
    let [mut a, mut b, _] = Replica::three_with(&case, [1, 1, 1]);
    let early = a.write(2, [2, 2, 1]);
    b.write(3, [1, 3, 3]);
    a.hear(&b);
    assert_eq!(a.row(), Some([2, 3, 3]));
    let fallback = Shown::fallback(&a.state, &case.rules);
    assert_eq!((fallback.content.clone(), fallback.sources.len()), (Some(row([1, 3, 3])), 1));
    assert!(fallback.conflict.as_ref().is_some_and(|conflict| conflict.open));
    // A write on top of it claims only what it changes, and leaves the manual column open.
    let write = tidewater_core::merge::Write {
        dot: dot(0, 9),
        stamp: Stamp::next(9_000, a.state.stamp_max()),
        content: Some(row([1, 3, 9])),
    };
    a.state = a.state.write(write, &fallback, &case.rules);
    assert_eq!((a.row(), a.siblings()), (Some([1, 3, 9]), vec![early, dot(0, 9)]));
}

#[test]
fn nan_is_a_value_like_others() {
    let case = merge();
    let [mut a, _, _] = Replica::three(&case);
    let content: Row = [Value::F64(f64::NAN), Value::I64(1), Value::I64(1)].into_iter().collect();
    let first = a.put(1, Some(content));
    let content: Row = [Value::F64(f64::NAN), Value::I64(2), Value::I64(1)].into_iter().collect();
    a.put(2, Some(content));
    assert_eq!(a.state.siblings()[0].origin(0).dot, first);
}

#[test]
fn a_policy_that_does_not_fit_its_table_is_refused() {
    let new = |policy: Policy| Rules::new(&policy, &["a", "b", "c"]).err();
    let together =
        |groups: &[&[&str]]| Policy { together: groups.iter().map(|g| names(g)).collect(), ..Policy::default() };
    assert_eq!(new(together(&[&["a", "d"]])), Some(PolicyError::UnknownColumn("d".to_owned())));
    assert_eq!(new(together(&[&["a", "b"], &["b", "c"]])), Some(PolicyError::Twice("b".to_owned())));
    let twice = columns(&[("a", Rule::Manual), ("a", Rule::Merge)]);
    assert_eq!(new(Policy { columns: twice, ..Policy::default() }), Some(PolicyError::Twice("a".to_owned())));
    let differ = columns(&[("a", Rule::Manual), ("b", Rule::FirstWriter)]);
    let policy = Policy { columns: differ, ..together(&[&["a", "b"]]) };
    assert_eq!(new(policy), Some(PolicyError::Different("b".to_owned())));
    assert_eq!(new(Policy::default()), None);
}

#[test]
fn nodes_compare_rules_by_a_hash_that_does_not_depend_on_their_order() {
    let one = Policy {
        columns: columns(&[("a", Rule::Manual), ("b", Rule::Prefer("hq".to_owned()))]),
        together: vec![names(&["c", "d"]), names(&["e", "f"])],
        ..Policy::default()
    };
    let other = Policy {
        columns: columns(&[("b", Rule::Prefer("hq".to_owned())), ("a", Rule::Manual)]),
        together: vec![names(&["f", "e"]), names(&["c", "d"])],
        ..Policy::default()
    };
    assert_eq!(one.hash(), other.hash());
    let differing = [
        Policy { row: Rule::LastWriter, ..one.clone() },
        Policy { delete_update: DeleteUpdate::Delete, ..one.clone() },
        Policy { orphans: Orphans::Keep, ..one.clone() },
        Policy { together: vec![names(&["c", "d", "e", "f"])], ..one.clone() },
        Policy { columns: columns(&[("a", Rule::Manual), ("b", Rule::Prefer("bq".to_owned()))]), ..one.clone() },
    ];
    assert!(differing.iter().all(|policy| policy.hash() != one.hash()));
    for policy in differing {
        assert_eq!(Policy::from_words(&policy.words()), Some(policy));
    }
}

//! Joins that are wrong, planted in place of the real one: the schedules must find each. And by hand, why settling
//! two states at once (the winner takes the joined vector, as most systems do) cannot work.

use super::replica::Replica;
use super::schedules::{Check, EVENTS, policies, try_all};
use super::world::{Case, Merge, join, shown, tokens};
use tidewater_core::merge::{Policy, Rule, Rules, Shown, Sibling, State};

/// Everything from both sides, whatever was superseded.
fn never_supersede(left: &State, right: &State, rules: &Rules) -> State {
    let both = join(left, right, rules);
    let mut siblings = left.siblings().to_vec();
    siblings.extend(right.siblings().iter().filter(|s| !left.siblings().iter().any(|l| l.dot == s.dot)).cloned());
    State::from_parts(siblings, both.seen().clone())
}

/// Settles at once: one content, the one shown, with all that both have seen.
fn pairwise(left: &State, right: &State, rules: &Rules) -> State {
    if left.seen().dominates(right.seen()) || right.seen().dominates(left.seen()) {
        return join(left, right, rules);
    }
    let both = never_supersede(left, right, rules);
    let shown = shown(&both, rules);
    let Some(latest) = both.siblings().last() else { return both };
    let winner = shown.sources.last().map_or(latest, |at| &both.siblings()[*at]);
    let Shown { content, origins, .. } = shown;
    let settled = Sibling { content, origins, past: both.seen().clone(), open: vec![], ..winner.clone() };
    State::from_parts(vec![settled], both.seen().clone())
}

fn forget_everything(left: &State, right: &State, rules: &Rules) -> State {
    State::from_parts(vec![], join(left, right, rules).seen().clone())
}

fn keep_only_the_latest(left: &State, right: &State, rules: &Rules) -> State {
    let both = join(left, right, rules);
    State::from_parts(both.siblings().last().cloned().into_iter().collect(), both.seen().clone())
}

fn take_the_others(_: &State, right: &State, _: &Rules) -> State {
    right.clone()
}

/// Tries deeper and deeper, so that what is found is short.
fn find(policy: &Policy, merge: Merge, check: Check) -> Option<String> {
    let case = Case::of(policy.clone());
    (1..=EVENTS).find_map(|depth| try_all(&case, merge, check, depth).err())
}

#[test]
fn a_wrong_join_is_found_under_every_rule() {
    let planted: [(&str, Merge); 4] = [
        ("forget everything", forget_everything),
        ("keep only the latest", keep_only_the_latest),
        ("never supersede", never_supersede),
        ("take the other's", take_the_others),
    ];
    for policy in policies() {
        for (name, merge) in planted {
            let found = find(&policy, merge, Check::Anything);
            assert!(found.is_some(), "{name} is not found under {policy:?}");
        }
    }
}

#[test]
fn pairwise_merging_diverges_under_every_rule() {
    for policy in policies() {
        let found = find(&policy, pairwise, Check::Divergence);
        assert!(found.is_some(), "pairwise merging is not found under {policy:?}");
    }
}

/// What three replicas know, settled pairwise in two orders, and joined in the same two.
fn settled([a, b, c]: [&State; 3], rules: &Rules) -> [[Option<[i64; 3]>; 2]; 2] {
    let orders = |merge: Merge| {
        let (ab_c, a_bc) = (merge(&merge(a, b, rules), c, rules), merge(a, &merge(b, c, rules), rules));
        [ab_c, a_bc].map(|state| shown(&state, rules).content.as_ref().map(tokens))
    };
    [orders(pairwise), orders(join)]
}

/// Here the last writer keeps a row, there the same row is known to be deleted.
#[test]
fn a_delete_that_has_seen_an_update_breaks_pairwise_merging_under_last_writer() {
    let case = Case::of(Policy { row: Rule::LastWriter, ..Policy::default() });
    let [mut a, mut b, mut c] = Replica::three(&case);
    a.write(9, [1, 1, 1]);
    b.write(2, [2, 2, 2]);
    c.hear(&a);
    c.delete(10);
    // a's row beats b's and takes its vector; now c's delete, which has not seen b, cannot supersede it any more.
    // The other way round b's row is all that is left against the delete.
    let [pairwise, joined] = settled([&a.state, &b.state, &c.state], &case.rules);
    assert_eq!(pairwise, [Some([1, 1, 1]), Some([2, 2, 2])], "the row depends on the order");
    assert_eq!(joined, [Some([2, 2, 2]); 2], "a's row was deleted by one who had seen it");
}

/// Whoever settles first throws away what would have won against the third.
#[test]
fn first_writer_breaks_pairwise_merging() {
    let case = Case::of(Policy { row: Rule::FirstWriter, ..Policy::default() });
    let [mut a, mut b, mut c] = Replica::three(&case);
    a.write(2, [2, 2, 2]);
    b.write(1, [1, 1, 1]);
    c.hear(&b);
    c.write(3, [3, 1, 1]);
    let [pairwise, joined] = settled([&a.state, &b.state, &c.state], &case.rules);
    // a's row loses against b's and is gone when c, which replaced b's, turns up.
    assert_eq!(pairwise, [Some([3, 1, 1]), Some([2, 2, 2])], "the row depends on the order");
    assert_eq!(joined, [Some([2, 2, 2]); 2], "b's row was replaced by c, and a wrote before c");
}

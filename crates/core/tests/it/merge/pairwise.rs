//! Joins that are wrong, planted in place of the real one: the schedules must find each. And by hand, why settling
//! two states at once (the winner takes the joined vector, as most systems do) cannot work.

use super::schedules::{Check, EVENTS, policies, try_all};
use super::world::{Case, Merge, dot, join, row, shown};
use tidewater_core::merge::{Policy, Rule, Rules, Shown, Sibling, Stamp, State, Write};

/// Settles at once: one content, the one shown, with all that both have seen.
fn pairwise(left: &State, right: &State, rules: &Rules) -> State {
    if left.dominates(right) || right.dominates(left) {
        return join(left, right, rules);
    }
    let both = join(left, right, rules);
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

fn never_supersede(left: &State, right: &State, rules: &Rules) -> State {
    let both = join(left, right, rules);
    let mut siblings = left.siblings().to_vec();
    siblings.extend(right.siblings().iter().filter(|s| !left.siblings().iter().any(|l| l.dot == s.dot)).cloned());
    State::from_parts(siblings, both.seen().clone())
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
        println!("{policy:?} {found:?}");
    }
}

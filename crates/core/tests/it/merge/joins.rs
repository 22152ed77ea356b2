//! Joining by properties: states of random histories, under every rule, partial replicas among them.

use super::schedules::policies;
use super::world::{Case, World, events, join, lacking, shown};
use crate::given::{Dice, rounds};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tidewater_core::merge::{Joined, State};

/// All states that three replicas went through, under one of the rules; at least two.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) case: Case,
    pub(super) states: Vec<State>,
}

pub(super) fn history() -> impl Strategy<Value = History> {
    let policy = proptest::sample::select(policies());
    let partial = vec((any::<Index>(), 0..3usize), 0..3);
    (policy, any::<bool>(), vec(any::<Index>(), 1..40), partial).prop_map(|(policy, found, indexes, partial)| {
        let case = Case::of(policy);
        let mut world = if found { World::first_contact(&case, join) } else { World::empty(&case, join) };
        let mut states = world.states.to_vec();
        for index in indexes {
            let events = events();
            if let Some(next) = world.after(events[index.index(events.len())]) {
                world = next;
                states.extend(world.states.iter().cloned());
            }
        }
        states.dedup();
        for (index, column) in partial {
            let of = index.get(&states).clone();
            states.push(lacking(&of, &[column]));
        }
        states.push(State::default());
        History { case, states }
    })
}

fn three() -> impl Strategy<Value = (Case, [State; 3])> {
    (history(), any::<[Index; 3]>()).prop_map(|(History { case, states }, at)| {
        let states = at.map(|index| index.get(&states).clone());
        (case, states)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds() * 5))]

    #[test]
    fn joining_is_commutative_associative_and_idempotent((case, [a, b, c]) in three()) {
        let join = |left: &State, right: &State| join(left, right, &case.rules);
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(State::join(&a, &a), Joined::Same);
        prop_assert_eq!(State::join(&join(&a, &b), &b), if join(&a, &b) == b { Joined::Same } else { Joined::Left });
    }

    #[test]
    fn a_join_says_what_it_is((_, [a, b, _]) in three()) {
        let joined = State::join(&a, &b);
        prop_assert_eq!(a.dominates(&b), matches!(joined, Joined::Same | Joined::Left));
        prop_assert_eq!(b.dominates(&a), matches!(joined, Joined::Same | Joined::Right));
        match joined {
            Joined::Same => prop_assert_eq!(&a, &b),
            Joined::Left | Joined::Right => prop_assert_ne!(&a, &b),
            Joined::New(state) => {
                prop_assert!(state != a && state != b);
                prop_assert!(state.dominates(&a) && state.dominates(&b));
            }
        }
    }

    #[test]
    fn the_row_shown_is_whole_and_its_conflict_names_siblings((case, [a, b, _]) in three()) {
        let state = join(&a, &b, &case.rules);
        let shown = shown(&state, &case.rules);
        let live = state.siblings().iter().any(|sibling| sibling.content.is_some());
        prop_assert!(live || shown.content.is_none());
        if let Some(content) = &shown.content {
            prop_assert_eq!(content.values().count(), 3);
            prop_assert!(!shown.sources.is_empty());
        }
        let conflict = shown.conflict.map_or(vec![], |conflict| conflict.siblings);
        prop_assert!(conflict.iter().all(|dot| state.siblings().iter().any(|sibling| sibling.dot == *dot)));
    }
}

/// Far deeper than every schedule can be tried.
#[test]
fn long_histories_converge_and_lose_nothing() {
    for seed in 0..u64::from(rounds()) * 3 {
        let dice = Dice::new(seed);
        for policy in policies() {
            let case = Case::of(policy);
            let mut world = if dice.one_in(2) { World::empty(&case, join) } else { World::first_contact(&case, join) };
            for step in 0..40 {
                let events = events();
                let at = usize::try_from(dice.below(events.len() as u64)).expect("a small number");
                let Some(next) = world.after(events[at]) else { continue };
                world = next;
                let found = world.violation();
                assert!(found.is_none(), "seed {seed}, step {step}, {:?}: {found:?}", case.policy);
            }
        }
    }
}

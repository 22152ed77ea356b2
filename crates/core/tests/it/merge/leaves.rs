//! Three full replicas and a leaf that lacks the last of three columns: whoever meets whom, in whatever order, all end
//! with the same contents, and no value of the column that the leaf lacks goes but by a write of somebody who saw it.

use super::world::{dot, shown};
use crate::given::{Dice, rounds};
use std::collections::{BTreeMap, BTreeSet};
use tidewater_core::change::{Row, Value};
use tidewater_core::merge::{Dot, Joined, Policy, Rule, Rules, Shown, Stamp, State, Write};

const FULL: usize = 3;
const LEAF: usize = 3;
const HELD: [usize; 2] = [0, 1];
/// The column that the leaf lacks.
const LACKED: usize = 2;

struct World {
    rules: Rules,
    states: [State; FULL + 1],
    writes: u64,
    /// What each write put into the last column.
    tokens: BTreeMap<Dot, i64>,
    /// What was knowingly replaced.
    replaced: BTreeSet<i64>,
}

fn hear(ours: &State, theirs: &State) -> State {
    match State::join_filling(ours, theirs) {
        Joined::Same | Joined::Left => ours.clone(),
        Joined::Right => theirs.clone(),
        Joined::New(state) => state,
    }
}

impl World {
    fn sync(&mut self, from: usize, to: usize) {
        let theirs = if to == LEAF { self.states[from].projected(&HELD) } else { self.states[from].clone() };
        self.states[to] = hear(&self.states[to], &theirs);
    }

    /// A write of some columns, or a delete.
    fn write(&mut self, at: usize, columns: &[usize], delete: bool) {
        let state = self.states[at].clone();
        let shown: Shown = shown(&state, &self.rules);
        if delete && shown.content.is_none() {
            return;
        }
        self.writes += 1;
        let (own, token) = (dot(at, self.writes), i64::try_from(self.writes).expect("a small number"));
        let fresh = shown.content.is_none();
        let before =
            shown.content.clone().unwrap_or_else(|| Row::new([Value::I64(0), Value::I64(0), Value::Unchanged]));
        let lacked = at == LEAF;
        let written = |column: usize| columns.contains(&column) || (fresh && !(lacked && column == LACKED));
        let content: Row = (before.values().enumerate())
            .map(|(column, value)| if written(column) { Value::I64(token) } else { value })
            .collect();
        let claims = delete || written(LACKED);
        let winner = shown.origins.get(LACKED).and_then(|origin| self.tokens.get(&origin.dot));
        for sibling in state.siblings().iter().filter(|sibling| sibling.content.is_some()) {
            let known = self.tokens.get(&sibling.origin(LACKED).dot);
            self.replaced.extend(known.filter(|token| claims || fresh || Some(*token) != winner));
        }
        if !delete && written(LACKED) {
            self.tokens.insert(own, token);
        }
        let stamp = Stamp::next(self.writes + [13, 10, 7, 11][at], state.stamp_max());
        let write = Write { dot: own, stamp, content: (!delete).then_some(content) };
        self.states[at] = state.write(write, &shown, &self.rules);
    }

    fn meet_all(&mut self) {
        for _ in 0..3 {
            for other in 1..=LEAF {
                self.sync(other, 0);
                self.sync(0, other);
            }
        }
    }

    fn violation(&self) -> Option<String> {
        let full = &self.states[0];
        if self.states[..FULL].iter().any(|state| state != full) {
            return Some("full replicas differ".to_owned());
        }
        if self.states[LEAF] != full.projected(&HELD) {
            return Some(format!("the leaf differs: {:?} and {full:?}", self.states[LEAF]));
        }
        let values =
            full.siblings().iter().filter_map(|sibling| sibling.content.as_ref()?.values().nth(LACKED).map(own));
        let held: BTreeSet<Option<i64>> = values.collect();
        let lost: Vec<&i64> =
            self.tokens.values().filter(|t| !self.replaced.contains(t) && !held.contains(&Some(**t))).collect();
        (!lost.is_empty()).then(|| format!("lost {lost:?} of {full:?}"))
    }
}

fn own(value: Value<'_>) -> Option<i64> {
    if let Value::I64(value) = value { Some(value) } else { None }
}

fn policies() -> Vec<Policy> {
    let rules = [Rule::Merge, Rule::LastWriter, Rule::FirstWriter, Rule::Prefer("hq".into()), Rule::Manual];
    let of = |rule: Rule| Policy {
        columns: [("a".to_owned(), rule.clone()), ("c".to_owned(), rule)].into(),
        ..Policy::default()
    };
    rules.into_iter().map(of).collect()
}

#[test]
fn a_leaf_converges_with_full_replicas_and_takes_no_value_that_it_lacks() {
    for seed in 0..u64::from(rounds()) * 20 {
        let dice = Dice::new(seed);
        let roll = |sides: u64| usize::try_from(dice.below(sides)).expect("a small number");
        for policy in policies() {
            let rules = Rules::new(&policy, &["a", "b", "c"]).expect("a policy that fits");
            let (tokens, replaced) = (BTreeMap::new(), BTreeSet::new());
            let mut world = World { rules, states: Default::default(), writes: 0, tokens, replaced };
            for _ in 0..4 + roll(24) {
                match roll(3) {
                    0 => {
                        let (from, to) = (roll(4), roll(4));
                        if from != to {
                            world.sync(from, to);
                        }
                    }
                    1 => world.write(roll(4), &[roll(2)], roll(12) == 0),
                    _ => world.write(roll(3), &[[LACKED, 0][roll(2)], LACKED], roll(12) == 0),
                }
            }
            world.meet_all();
            let found = world.violation();
            assert!(found.is_none(), "seed {seed}, {policy:?}: {}", found.unwrap_or_default());
        }
    }
}

#[test]
fn what_was_taken_back_takes_the_place_of_nothing_that_is_shown_and_comes_back_as_a_whole() {
    let rules = Rules::new(&Policy::default(), &["a", "b"]).expect("a policy that fits");
    let write = |state: &State, at: usize, value: i64| {
        let content = Some(Row::new([Value::I64(value), Value::I64(value)]));
        let stamp = Stamp::next(u64::try_from(value).expect("a time"), state.stamp_max());
        state.write(Write { dot: dot(at, 1), stamp, content }, &shown(state, &rules), &rules)
    };
    let older = write(&State::default(), 0, 1);
    let newer = write(&older, LEAF, 2);
    let taken_back = newer.projected(&[]);
    let Joined::New(beside) = State::join_beside(&taken_back, &older) else { panic!("it stands beside") };
    assert_eq!((beside.known(), beside.has_taken_back()), (older.clone(), true));
    assert_eq!(State::join_beside(&beside, &older), Joined::Left);
    // An ordinary write of the older row is concurrent to what was taken back.
    let other = write(&older, 1, 3);
    let Joined::New(later) = State::join_beside(&beside, &other) else { panic!("it stands beside") };
    assert_eq!(later.known(), other);
    // Who has the newer one, or has seen it, brings it back, or settles it.
    for state in [&taken_back, &beside] {
        assert_eq!(State::join_beside(state, &newer), Joined::Right);
        assert_eq!(State::join_beside(state, &write(&newer, 2, 4)), Joined::Right);
    }
    assert_eq!(State::join_beside(&older, &newer), State::join_filling(&older, &newer));
}

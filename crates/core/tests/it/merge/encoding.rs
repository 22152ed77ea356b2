//! The bytes of a state: golden file, round trips, sizes, and what is refused.

use super::joins::{History, history};
use super::replica::Replica;
use super::world::{Case, dot, node, row};
use crate::encoding::{hex, holds};
use crate::given::rounds;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::fmt::Write as _;
use tidewater_core::change::{Row, Value};
use tidewater_core::merge::{Dot, Node, Policy, Rule, Rules, Sibling, Stamp, State, StateDecodeError, Vector};

const GOLDEN: &str = include_str!("../golden/versions.txt");

/// The node of [`node`]`(n)` is stored under the number `n`.
fn number_of(of: &Node) -> u32 {
    u32::from(of.0[0]) - 1
}

fn node_of(number: u32) -> Option<Node> {
    (number < 200).then(|| node(number as usize))
}

fn encoded(state: &State, rules: &Rules) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(rules, &mut number_of, &mut bytes);
    bytes
}

/// What stands in the user's table: the only sibling's content.
fn stored(state: &State) -> Option<&Row> {
    state.siblings().first().and_then(|sibling| sibling.content.as_ref())
}

fn decoded(bytes: &[u8], row: Option<&Row>) -> Result<State, StateDecodeError> {
    State::decode(bytes, row, &node_of)
}

fn by_row() -> Case {
    Case::of(Policy { row: Rule::LastWriter, ..Policy::default() })
}

fn by_column() -> Case {
    Case::of(Policy::default())
}

fn manual_column() -> Case {
    Case::of(Policy { columns: vec![("a".to_owned(), Rule::Manual)], ..Policy::default() })
}

/// Second 1 of 2026.
const SECOND: u64 = 1_767_225_601;

fn settled(case: &Case) -> Vec<State> {
    let [mut a, mut b, _] = Replica::three_with(case, [1, 1, 1]);
    let inserted = a.state.clone();
    a.write(SECOND, [1, 2, 1]);
    b.hear(&a);
    b.write(SECOND, [1, 2, 3]);
    let updated = b.state.clone();
    b.delete(SECOND);
    vec![inserted, updated, b.state]
}

fn in_conflict(case: &Case) -> State {
    let [mut a, mut b, mut c] = Replica::three_with(case, [1, 1, 1]);
    a.write(SECOND, [2, 1, 1]);
    b.write(SECOND + 1, [3, 1, 3]);
    c.delete(SECOND);
    a.hear(&b);
    a.write(SECOND + 2, [3, 4, 3]);
    a.hear(&c);
    a.state
}

fn golden() -> Vec<(&'static str, State, Rules)> {
    let (by_row, by_column, manual) = (by_row(), by_column(), manual_column());
    let found = |stamp| Replica::new(&by_row, 0).found([1, 1, 1], stamp).state;
    let mut over_found = Replica::new(&by_row, 0).found([1, 1, 1], Stamp::GENESIS);
    over_found.write(SECOND, [2, 1, 1]);
    let [inserted, updated, deleted] = <[State; 3]>::try_from(settled(&by_row)).expect("three");
    let [_, columns, _] = <[State; 3]>::try_from(settled(&by_column)).expect("three");
    vec![
        ("nothing, a row that nobody wrote", State::default(), by_row.rules.clone()),
        ("inserted by node 0", inserted, by_row.rules.clone()),
        ("written by node 0 and then by node 1", updated, by_row.rules.clone()),
        ("deleted by node 1", deleted, by_row.rules.clone()),
        ("columns of three writes", columns, by_column.rules.clone()),
        ("found at first contact", found(Stamp::GENESIS), by_row.rules.clone()),
        ("found, with a stamp", found(Stamp(7_000 << 16)), by_row.rules.clone()),
        ("found, then written by node 0", over_found.state, by_row.rules.clone()),
        ("an open conflict and a delete", in_conflict(&manual), manual.rules.clone()),
    ]
}

#[test]
fn states_are_encoded_as_in_the_golden_file() {
    let mut computed = String::from("# state | encoding\n");
    for (name, state, rules) in golden() {
        let bytes = encoded(&state, &rules);
        writeln!(computed, "{name} | {}", hex(&bytes)).expect("writing to a string");
        assert_eq!(decoded(&bytes, stored(&state)), Ok(state), "{name}");
    }
    holds("versions.txt", GOLDEN, &computed);
}

/// A row that three nodes wrote, after a million writes of each, at a busy millisecond.
fn of_three_nodes(case: &Case, columns: i64) -> State {
    let dots = [dot(0, 1_000_000), dot(1, 1_000_001), dot(2, 1_000_002)];
    let past: Vector = dots.into_iter().collect();
    let stamp = |logical| Stamp((SECOND * 1000) << 16 | logical);
    let origin = |at: usize| tidewater_core::merge::Origin { stamp: stamp(at as u64), dot: dots[at] };
    let origins = if case.rules.by_column() {
        (0..columns).map(|column| origin(usize::try_from(column % 3).expect("small"))).collect()
    } else {
        vec![]
    };
    let content = Some((0..columns).map(Value::I64).collect());
    let sibling = Sibling { dot: dots[2], stamp: stamp(2), content, past: past.clone(), origins, open: vec![] };
    State::from_parts(vec![sibling], past)
}

#[test]
fn a_row_without_a_conflict_takes_few_bytes() {
    let bytes = |case: &Case| encoded(&of_three_nodes(case, 10), &case.rules).len();
    assert_eq!(bytes(&by_row()), 23, "three nodes, one sibling, rules for whole rows");
    assert_eq!(bytes(&by_column()), 94, "ten columns from three writes, rules for columns");
    let case = by_row();
    let mut one = Replica::new(&case, 0);
    one.write(SECOND, [1, 1, 1]);
    assert_eq!(encoded(&one.state, &case.rules).len(), 13, "one node, one sibling");
}

#[test]
fn columns_written_since_the_seal_are_absent() {
    let case = by_column();
    let [_, state, _] = <[State; 3]>::try_from(settled(&case)).expect("three");
    let bytes = encoded(&state, &case.rules);
    let now = row([1, 9, 3]);
    let read = decoded(&bytes, Some(&now)).expect("a state");
    let content = read.siblings()[0].content.clone().expect("a row");
    assert_eq!(content, [Value::I64(1), Value::Unchanged, Value::I64(3)].into_iter().collect());
    // So the write that is sealed next claims that column and no other.
    let mut replica = Replica::new(&case, 2);
    replica.state = read;
    let sealed = replica.write(SECOND, [1, 9, 3]);
    let origins: Vec<Dot> = (0..3).map(|column| replica.state.siblings()[0].origin(column).dot).collect();
    assert_eq!(origins, [dot(0, 1), sealed, dot(1, 1)]);
    // The row is gone; or a column came with the table's definition.
    let gone = decoded(&bytes, None).expect("a state");
    assert!(gone.siblings()[0].content.as_ref().expect("a row").values().all(|value| value == Value::Unchanged));
    let wider: Row = [1, 2, 3, 4].into_iter().map(Value::I64).collect();
    assert_eq!(decoded(&bytes, Some(&wider)).expect("a state").siblings()[0].content, Some(wider));
}

#[test]
fn what_is_wrong_with_bytes_is_said() {
    let bytes = encoded(&in_conflict(&manual_column()), &manual_column().rules);
    assert_eq!(decoded(&[2], None), Err(StateDecodeError::Format(2)));
    let unknown = State::decode(&bytes, None, &|number| node_of(number).filter(|_| number != 2));
    assert_eq!(unknown, Err(StateDecodeError::UnknownNode(2)));
    for length in 0..bytes.len() {
        assert!(decoded(&bytes[..length], None).is_err(), "{length} bytes of {}", bytes.len());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(decoded(&longer, None).is_err());
    // One node under two numbers would be two entries for the same.
    let aliased = State::decode(&bytes, None, &|_| node_of(0));
    assert_eq!(aliased, Err(StateDecodeError::NotCanonical));
}

/// Reading back is the whole of the claim: what decodes encodes to the same bytes.
fn is_canonical_or_refused(bytes: &[u8], row: Option<&Row>, rules: &Rules) -> Result<(), String> {
    let Ok(state) = decoded(bytes, row) else { return Ok(()) };
    // Hashes of a row that is not the sealed one cannot be written again.
    let hashed = bytes[0] & 0x80 != 0;
    if hashed || encoded(&state, rules) == bytes { Ok(()) } else { Err(format!("{} reads as {state:?}", hex(bytes))) }
}

/// The encoding of a state with a few bytes changed, put in or taken out.
fn mutated() -> impl Strategy<Value = (Vec<u8>, Option<Row>)> {
    let edit = (0..4u8, any::<Index>(), prop_oneof![any::<u8>(), 0..8u8]);
    (history(), any::<Index>(), vec(edit, 1..4)).prop_map(|(History { case, states }, index, edits)| {
        let state = index.get(&states);
        let mut bytes = encoded(state, &case.rules);
        for (kind, at, byte) in edits {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        (bytes, stored(state).cloned())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds() * 5))]

    #[test]
    fn a_state_comes_back(History { case, states } in history(), index in any::<Index>()) {
        let state = index.get(&states);
        let bytes = encoded(state, &case.rules);
        let read = decoded(&bytes, stored(state));
        prop_assert_eq!(read.as_ref(), Ok(state));
        prop_assert_eq!(encoded(&read.expect("just read"), &case.rules), bytes);
    }

    #[test]
    fn broken_bytes_are_canonical_or_refused((bytes, row) in mutated()) {
        let rules = by_row().rules;
        prop_assert_eq!(is_canonical_or_refused(&bytes, row.as_ref(), &rules), Ok(()));
    }

    #[test]
    fn garbage_is_canonical_or_refused(first in prop_oneof![any::<u8>(), Just(1), Just(0x11)], rest in vec(0..20u8, 0..40)) {
        let bytes = [vec![first], rest].concat();
        let row = row([1, 2, 3]);
        prop_assert_eq!(is_canonical_or_refused(&bytes, Some(&row), &by_row().rules), Ok(()));
    }
}

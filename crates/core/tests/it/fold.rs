//! Folding: what a batch does after it must be what its changes did one after the other.

use crate::given::rounds;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tidewater_core::change::{Change, Key, Op, Row, Value};
use tidewater_core::transport::fold;

/// Rows by table and key.
type State = BTreeMap<(usize, Key), Row>;

/// The columns beside the key.
const COLUMNS: usize = 3;

fn key(id: i64) -> Key {
    Row::new([Value::I64(id)])
}

/// A row; `None` is a column that did not change.
fn row(id: i64, cells: &[Option<i64>]) -> Row {
    let cells = cells.iter().map(|cell| cell.map_or(Value::Unchanged, Value::I64));
    Row::new(std::iter::once(Value::I64(id)).chain(cells))
}

fn whole(id: i64, cells: &[Option<i64>]) -> Row {
    let cells: Vec<Option<i64>> = cells.iter().map(|cell| Some(cell.unwrap_or(0))).collect();
    row(id, &cells)
}

/// The model of a strict target: an insert finds nothing, an update finds its row, an upsert and a delete find either.
fn carry_out(state: &mut State, change: &Change) -> Result<(), String> {
    let at = (change.table, change.key.clone());
    let there = state.get(&at);
    let after = match (&change.op, there) {
        (Op::Insert(_), Some(_)) => return Err(format!("{change:?} finds a row")),
        (Op::Update(_), None) => return Err(format!("{change:?} finds no row")),
        (Op::Update(new), Some(old)) => {
            let merged = old.values().zip(new.values());
            Some(merged.map(|(old, new)| if new == Value::Unchanged { old } else { new }).collect::<Row>())
        }
        (Op::Insert(row) | Op::Upsert(row), _) => Some(row.clone()),
        (Op::Delete, _) => None,
    };
    if after.as_ref().is_some_and(|row| row.values().any(|v| v == Value::Unchanged)) {
        return Err(format!("{change:?} leaves a row with a column that nobody gave"));
    }
    match after {
        Some(row) => drop(state.insert(at, row)),
        None => drop(state.remove(&at)),
    }
    Ok(())
}

fn carry_out_all(state: &State, changes: &[Change]) -> Result<State, String> {
    let mut state = state.clone();
    for change in changes {
        carry_out(&mut state, change)?;
    }
    Ok(state)
}

/// What somebody wants to do to a row. Which operation that is depends on whether the row is there.
#[derive(Debug, Clone)]
struct Wish {
    table: usize,
    id: i64,
    delete: bool,
    /// As a state queue gives it: the row as it stands, whatever was there.
    upsert: bool,
    cells: Vec<Option<i64>>,
}

fn wish(upserts: bool) -> impl Strategy<Value = Wish> {
    let cells = vec(option::of(0..3i64), COLUMNS);
    let upsert = if upserts { any::<bool>().boxed() } else { Just(false).boxed() };
    (0..2usize, 0..3i64, proptest::bool::weighted(0.3), upsert, cells)
        .prop_map(|(table, id, delete, upsert, cells)| Wish { table, id, delete, upsert, cells })
}

fn base() -> impl Strategy<Value = State> {
    proptest::collection::btree_map((0..2usize, 0..3i64), vec(option::of(0..3i64), COLUMNS), 0..6)
        .prop_map(|rows| rows.into_iter().map(|((table, id), cells)| ((table, key(id)), whole(id, &cells))).collect())
}

/// A history that a source could have had, beginning at `base`.
fn history(base: &State, wishes: &[Wish]) -> Vec<Change> {
    let mut there: BTreeSet<(usize, Key)> = base.keys().cloned().collect();
    let mut changes = Vec::new();
    for wish in wishes {
        let at = (wish.table, key(wish.id));
        let present = there.contains(&at);
        let op = match (wish.delete, wish.upsert, present) {
            // A log has no delete of a row that is not there; a queue may have one.
            (true, false, false) => continue,
            (true, _, _) => Op::Delete,
            (false, true, _) => Op::Upsert(whole(wish.id, &wish.cells)),
            (false, false, true) => Op::Update(row(wish.id, &wish.cells)),
            (false, false, false) => Op::Insert(whole(wish.id, &wish.cells)),
        };
        let _ = if wish.delete { there.remove(&at) } else { there.insert(at.clone()) };
        changes.push(Change { table: at.0, key: at.1, op });
    }
    changes
}

fn folding_changes_nothing(base: &State, changes: Vec<Change>) -> Result<(), TestCaseError> {
    let one_by_one = carry_out_all(base, &changes).map_err(TestCaseError::fail)?;
    let first_seen: Vec<(usize, Key)> = changes.iter().fold(vec![], |mut seen, change| {
        let at = (change.table, change.key.clone());
        if !seen.contains(&at) {
            seen.push(at);
        }
        seen
    });
    let folded = fold(changes);
    let order: Vec<(usize, Key)> = folded.iter().map(|c| (c.table, c.key.clone())).collect();
    prop_assert_eq!(order, first_seen, "each row once, in the order in which it came first");
    prop_assert_eq!(carry_out_all(base, &folded).map_err(TestCaseError::fail)?, one_by_one);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds() * 5))]

    #[test]
    fn folding_a_log_changes_nothing(base in base(), wishes in vec(wish(false), 0..30)) {
        let changes = history(&base, &wishes);
        folding_changes_nothing(&base, changes)?;
    }

    #[test]
    fn folding_with_upserts_between_changes_nothing(base in base(), wishes in vec(wish(true), 0..30)) {
        let changes = history(&base, &wishes);
        folding_changes_nothing(&base, changes)?;
    }

    /// A state queue may be read again from the beginning: its changes hold whatever the target has.
    #[test]
    fn folding_a_state_queue_holds_on_any_target(base in base(), other in base(), wishes in vec(wish(true), 0..30)) {
        let queue: Vec<Change> = history(&base, &wishes.into_iter().map(|w| Wish { upsert: true, ..w }).collect::<Vec<_>>());
        folding_changes_nothing(&other, queue)?;
    }

    #[test]
    fn folding_in_pieces_is_folding_at_once(base in base(), wishes in vec(wish(false), 0..30), cut in any::<proptest::sample::Index>()) {
        let changes = history(&base, &wishes);
        let (early, late) = changes.split_at(cut.index(changes.len() + 1).min(changes.len()));
        let pieces = [early, late].into_iter().flat_map(|piece| fold(piece.to_vec())).collect();
        prop_assert_eq!(fold(pieces), fold(changes));
    }
}

/// The net effect of two operations on one row.
#[track_caller]
fn folds(first: Op, second: Op, net: Op) {
    let change = |op: &Op| Change { table: 0, key: key(1), op: op.clone() };
    let folded = fold(vec![change(&first), change(&second)]);
    assert_eq!(folded, [change(&net)], "{first:?}, then {second:?}");
}

fn full(cell: i64) -> Row {
    row(1, &[Some(cell), Some(cell)])
}

/// The first column is new, the second unchanged.
fn half(cell: i64) -> Row {
    row(1, &[Some(cell), None])
}

fn mixed(new: i64, old: i64) -> Row {
    row(1, &[Some(new), Some(old)])
}

#[test]
fn an_insert_and_then() {
    folds(Op::Insert(full(1)), Op::Update(half(2)), Op::Insert(mixed(2, 1)));
    folds(Op::Insert(full(1)), Op::Upsert(full(2)), Op::Upsert(full(2)));
    folds(Op::Insert(full(1)), Op::Delete, Op::Delete);
    folds(Op::Insert(full(1)), Op::Insert(full(2)), Op::Insert(full(2)));
}

#[test]
fn an_update_and_then() {
    folds(Op::Update(half(1)), Op::Update(row(1, &[None, Some(2)])), Op::Update(mixed(1, 2)));
    folds(Op::Update(half(1)), Op::Update(half(2)), Op::Update(half(2)));
    folds(Op::Update(half(1)), Op::Upsert(full(2)), Op::Upsert(full(2)));
    folds(Op::Update(half(1)), Op::Delete, Op::Delete);
    folds(Op::Update(half(1)), Op::Insert(full(2)), Op::Upsert(full(2)));
}

#[test]
fn an_upsert_and_then() {
    folds(Op::Upsert(full(1)), Op::Update(half(2)), Op::Upsert(mixed(2, 1)));
    folds(Op::Upsert(full(1)), Op::Upsert(full(2)), Op::Upsert(full(2)));
    folds(Op::Upsert(full(1)), Op::Delete, Op::Delete);
    folds(Op::Upsert(full(1)), Op::Insert(full(2)), Op::Upsert(full(2)));
}

#[test]
fn a_delete_and_then() {
    folds(Op::Delete, Op::Insert(full(2)), Op::Upsert(full(2)));
    folds(Op::Delete, Op::Upsert(full(2)), Op::Upsert(full(2)));
    folds(Op::Delete, Op::Update(full(2)), Op::Upsert(full(2)));
    folds(Op::Delete, Op::Delete, Op::Delete);
}

#[test]
fn equal_keys_of_two_tables_are_two_rows() {
    let change = |table, op| Change { table, key: key(1), op };
    let changes = vec![change(0, Op::Insert(full(1))), change(1, Op::Delete), change(0, Op::Update(half(2)))];
    let net = [change(0, Op::Insert(mixed(2, 1))), change(1, Op::Delete)];
    assert_eq!(fold(changes), net);
}

#[test]
fn nothing_folds_to_nothing() {
    assert_eq!(fold(vec![]), []);
}

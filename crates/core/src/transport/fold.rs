//! Net effect: several changes of one row become one, so that catching up costs less than living through it.

use crate::change::{Change, Key, Op, Row, Value};
use std::collections::HashMap;

/// Folds changes, in order, into at most one per row. The order of first appearance is kept.
pub fn fold(all: Vec<Change>) -> Vec<Change> {
    let mut first: HashMap<(usize, &Key), usize> = HashMap::with_capacity(all.len());
    let into: Vec<usize> =
        all.iter().enumerate().map(|(at, change)| *first.entry((change.table, &change.key)).or_insert(at)).collect();
    if first.len() == all.len() {
        return all;
    }
    let mut folded: Vec<Option<Change>> = Vec::with_capacity(all.len());
    for (change, into) in all.into_iter().zip(into) {
        match folded.get_mut(into) {
            None => folded.push(Some(change)),
            Some(earlier) => {
                if let Some(earlier) = earlier {
                    earlier.op = both(std::mem::replace(&mut earlier.op, Op::Delete), change.op);
                }
                folded.push(None);
            }
        }
    }
    folded.into_iter().flatten().collect()
}

/// The one operation that does what `first` and then `second` do. Where the row's existence before is not known,
/// an insert becomes an upsert and a delete stays a delete: both are right either way.
fn both(first: Op, second: Op) -> Op {
    match (first, second) {
        (_, Op::Delete) => Op::Delete,
        (_, Op::Upsert(row)) | (Op::Delete, Op::Insert(row) | Op::Update(row)) => Op::Upsert(row),
        (Op::Insert(old), Op::Insert(new) | Op::Update(new)) => Op::Insert(over(&old, &new)),
        (Op::Upsert(old), Op::Insert(new) | Op::Update(new)) => Op::Upsert(over(&old, &new)),
        (Op::Update(old), Op::Update(new)) => Op::Update(over(&old, &new)),
        (Op::Update(_), Op::Insert(row)) => Op::Upsert(row),
    }
}

/// `new` over `old`: unchanged columns keep what `old` has.
fn over(old: &Row, new: &Row) -> Row {
    let pick = |(old, new)| if new == Value::Unchanged { old } else { new };
    old.values().zip(new.values()).map(pick).collect()
}

//! A transaction as bytes. Drawn in `docs/formats/spool.md`.

use super::card::{put_text, take_text};
use crate::change::{Change, Op, Position, Row, Transaction, read_varint, take, varint};

const SETTLED: u8 = 1;
const FOLDED: u8 = 2;
const TIMED: u8 = 4;

const DELETE: u8 = 0;
const INSERT: u8 = 1;
const UPDATE: u8 = 2;
const UPSERT: u8 = 3;

pub(super) fn encode(transaction: &Transaction) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&transaction.position.0, &mut out);
    let flag = |is_so: bool, flag: u8| if is_so { flag } else { 0 };
    let timed = transaction.after_ms.is_some();
    out.push(flag(transaction.settled, SETTLED) | flag(transaction.folded, FOLDED) | flag(timed, TIMED));
    if let Some(after_ms) = transaction.after_ms {
        out.extend_from_slice(&after_ms.to_le_bytes());
    }
    varint(transaction.left_out, &mut out);
    varint(transaction.emptied.len() as u64, &mut out);
    for table in &transaction.emptied {
        varint(*table as u64, &mut out);
    }
    varint(transaction.changes.len() as u64, &mut out);
    for change in &transaction.changes {
        let (op, row) = match &change.op {
            Op::Delete => (DELETE, None),
            Op::Insert(row) => (INSERT, Some(row)),
            Op::Update(row) => (UPDATE, Some(row)),
            Op::Upsert(row) => (UPSERT, Some(row)),
        };
        varint(change.table as u64, &mut out);
        out.push(op);
        for row in [Some(&change.key), row].into_iter().flatten() {
            varint(row.as_bytes().len() as u64, &mut out);
            out.extend_from_slice(row.as_bytes());
        }
    }
    out
}

/// The position alone.
pub(super) fn position(mut payload: &[u8]) -> Option<Position> {
    take_text(&mut payload).map(Position)
}

pub(super) fn decode(payload: &[u8]) -> Option<Transaction> {
    let input = &mut &payload[..];
    let position = Position(take_text(input)?);
    let flags = take(input, 1).ok()?[0];
    let after_ms = match flags & TIMED {
        0 => None,
        _ => Some(i64::from_le_bytes(take(input, 8).ok()?.try_into().ok()?)),
    };
    let mut transaction = Transaction {
        emptied: vec![],
        origins: vec![],
        changes: vec![],
        position,
        settled: flags & SETTLED > 0,
        folded: flags & FOLDED > 0,
        after_ms,
        left_out: read_varint(input).ok()?,
    };
    for _ in 0..read_varint(input).ok()? {
        transaction.emptied.push(number(input)?);
    }
    for _ in 0..read_varint(input).ok()? {
        let table = number(input)?;
        let op = take(input, 1).ok()?[0];
        let key = row(input)?;
        let op = match op {
            DELETE => Op::Delete,
            INSERT => Op::Insert(row(input)?),
            UPDATE => Op::Update(row(input)?),
            UPSERT => Op::Upsert(row(input)?),
            _ => return None,
        };
        transaction.changes.push(Change { table, key, op });
    }
    input.is_empty().then_some(transaction)
}

fn number(input: &mut &[u8]) -> Option<usize> {
    usize::try_from(read_varint(input).ok()?).ok()
}

fn row(input: &mut &[u8]) -> Option<Row> {
    let length = number(input)?;
    Row::from_canonical(take(input, length).ok()?).ok()
}

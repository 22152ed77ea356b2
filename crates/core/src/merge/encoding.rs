//! The bytes of a state, as they are stored beside the user's row. Drawn byte by byte in `docs/formats/version.md`;
//! golden vectors in `tests/it/golden/versions.txt`.
//!
//! One state has one encoding for one numbering of nodes, and the decoder accepts no other. A row without a conflict
//! is *settled*: its content is the row in the user's table and is not stored again. Where the rules look at columns,
//! four bytes of hash for each column tell which of them are still as they were when they were sealed.

use super::columns::Columns;
use super::dot::{Dot, Genesis, Node, Origin, Stamp};
use super::rules::Rules;
use super::state::{Sibling, State};
use super::vector::Vector;
use crate::change::{DecodeError, Row, RowBuilder, RowHash, decode_value, read_varint, take, varint};
use std::collections::BTreeSet;

/// The number of this format, in the lower half of the first byte.
const FORMAT: u8 = 1;

/// Flags in the upper half of the first byte.
mod head {
    /// One sibling that has seen all that the state has, with nothing open. Its content is not here.
    pub(super) const SETTLED: u8 = 0x10;
    /// It is a delete.
    pub(super) const DELETED: u8 = 0x20;
    /// It has columns from other writes.
    pub(super) const ORIGINS: u8 = 0x40;
    /// Hashes of its columns follow.
    pub(super) const HASHES: u8 = 0x80;
}

/// Flags in the first byte of a sibling in conflict.
mod flag {
    pub(super) const DELETED: u8 = 1;
    /// It has seen all that the state has.
    pub(super) const SEEN_ALL: u8 = 2;
    pub(super) const ORIGINS: u8 = 4;
    pub(super) const OPEN: u8 = 8;
}

/// Bytes that are not a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateDecodeError {
    /// Written by another version of the program.
    #[error("format {0} of a row's state is not known")]
    Format(u8),
    /// A number that stands for no node.
    #[error("no node has the number {0}")]
    UnknownNode(u64),
    /// A form that the encoder never writes.
    #[error("not the canonical form of a row's state")]
    NotCanonical,
    /// A number or a value is broken, or the bytes end too early or too late.
    #[error(transparent)]
    Value(#[from] DecodeError),
}

type Result<T> = std::result::Result<T, StateDecodeError>;

fn ensure(canonical: bool) -> Result<()> {
    if canonical { Ok(()) } else { Err(StateDecodeError::NotCanonical) }
}

/// A vector as it is written: nodes ascending by their numbers. Dots are written as places in it.
struct Numbered {
    nodes: Vec<(u64, Node, u64)>,
    genesis: Vec<Genesis>,
}

impl State {
    /// Appends the encoding. `number_of` gives each node the small number that it is stored under.
    ///
    /// The content of a settled row is left out: it is the row in the user's table.
    pub fn encode(&self, rules: &Rules, number_of: &mut dyn FnMut(&Node) -> u32, out: &mut Vec<u8>) {
        let seen = Numbered::of(self.seen(), number_of);
        if let [only] = self.siblings()
            && is_settled(only, self.seen())
        {
            let hashed = only.content.as_ref().filter(|_| rules.by_column());
            let flags = [
                (only.content.is_none(), head::DELETED),
                (!only.origins.is_empty(), head::ORIGINS),
                (hashed.is_some(), head::HASHES),
            ];
            out.push(FORMAT | head::SETTLED | sum(flags));
            seen.encode(out);
            seen.encode_write(only.own(), out);
            seen.encode_origins(only, out);
            if let Some(content) = hashed {
                encode_hashes(content, out);
            }
            return;
        }
        out.push(FORMAT);
        seen.encode(out);
        varint(self.siblings().len() as u64, out);
        for sibling in self.siblings() {
            encode_sibling(sibling, self.seen(), number_of, out);
        }
    }

    /// Whether an encoding is of a row without a conflict, whose content is the row in the user's table.
    pub fn is_settled(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|flags| flags & head::SETTLED != 0)
    }

    /// The columns that a row without a conflict was stored without. Of others the contents themselves tell.
    pub fn lacked(bytes: &[u8], node_of: &dyn Fn(u32) -> Option<Node>) -> Result<Vec<usize>> {
        let mut input = bytes;
        let flags = take(&mut input, 1)?[0];
        if flags & head::SETTLED == 0 || flags & head::HASHES == 0 {
            return Ok(vec![]);
        }
        let seen = Numbered::decode(&mut input, node_of)?;
        let own = seen.decode_write(&mut input)?;
        if flags & head::ORIGINS != 0 {
            seen.decode_origins(own, &mut input)?;
        }
        let absent = hash(None);
        let hashes = take_hashes(&mut input)?.chunks_exact(4).enumerate();
        Ok(hashes.filter(|(_, hash)| **hash == absent).map(|(column, _)| column).collect())
    }

    /// Reads an encoding; `node_of` is the node that is stored under a number.
    ///
    /// `row` is the row as it stands in the user's table now. Of a settled row it is the content, but for columns
    /// whose hash says that they were written since: those are absent, as all are where the row is gone. Seal the
    /// pending write, which supersedes that content, before the state goes anywhere.
    ///
    /// Never panics, and allocates no more than in proportion to `bytes` and `row`.
    pub fn decode(bytes: &[u8], row: Option<&Row>, node_of: &dyn Fn(u32) -> Option<Node>) -> Result<Self> {
        let mut input = bytes;
        let flags = take(&mut input, 1)?[0];
        if flags & 0x0f != FORMAT {
            return Err(StateDecodeError::Format(flags & 0x0f));
        }
        let seen = Numbered::decode(&mut input, node_of)?;
        let vector = seen.vector()?;
        let siblings = if flags & head::SETTLED != 0 {
            vec![decode_settled(flags, &seen, &vector, row, &mut input)?]
        } else {
            ensure(flags == FORMAT)?;
            decode_siblings(&seen, &vector, node_of, &mut input)?
        };
        if !input.is_empty() {
            return Err(DecodeError::Trailing.into());
        }
        Ok(Self::from_parts(siblings, vector))
    }
}

fn is_settled(sibling: &Sibling, seen: &Vector) -> bool {
    sibling.past == *seen && sibling.open.is_empty()
}

fn sum<const N: usize>(flags: [(bool, u8); N]) -> u8 {
    flags.into_iter().filter(|(set, _)| *set).fold(0, |sum, (_, flag)| sum | flag)
}

fn encode_sibling(sibling: &Sibling, seen: &Vector, number_of: &mut dyn FnMut(&Node) -> u32, out: &mut Vec<u8>) {
    let seen_all = sibling.past == *seen;
    out.push(sum([
        (sibling.content.is_none(), flag::DELETED),
        (seen_all, flag::SEEN_ALL),
        (!sibling.origins.is_empty(), flag::ORIGINS),
        (!sibling.open.is_empty(), flag::OPEN),
    ]));
    let past = Numbered::of(&sibling.past, number_of);
    if !seen_all {
        past.encode(out);
    }
    past.encode_write(sibling.own(), out);
    past.encode_origins(sibling, out);
    if !sibling.open.is_empty() {
        varint(sibling.open.len() as u64, out);
        for (column, dot) in &sibling.open {
            varint(*column as u64, out);
            past.encode_dot(dot, out);
        }
    }
    if let Some(content) = &sibling.content {
        varint(content.values().count() as u64, out);
        out.extend_from_slice(content.as_bytes());
    }
}

fn decode_settled(
    flags: u8,
    seen: &Numbered,
    vector: &Vector,
    row: Option<&Row>,
    input: &mut &[u8],
) -> Result<Sibling> {
    let deleted = flags & head::DELETED != 0;
    let own = seen.decode_write(input)?;
    let origins = if flags & head::ORIGINS != 0 { seen.decode_origins(own, input)? } else { vec![] };
    let content = match (deleted, flags & head::HASHES != 0) {
        (true, hashed) => ensure(!hashed).map(|()| None)?,
        (false, true) => Some(decode_hashed(row, input)?),
        (false, false) => Some(row.cloned().unwrap_or_default()),
    };
    Ok(Sibling { dot: own.dot, stamp: own.stamp, content, past: vector.clone(), origins, open: vec![] })
}

fn decode_siblings(
    seen: &Numbered,
    vector: &Vector,
    node_of: &dyn Fn(u32) -> Option<Node>,
    input: &mut &[u8],
) -> Result<Vec<Sibling>> {
    let mut siblings: Vec<Sibling> = Vec::new();
    let mut seen_all = 0;
    for _ in 0..count(input, 4)? {
        let sibling = decode_sibling(seen, vector, node_of, input)?;
        // Two that have seen all would have seen each other; and each would take a whole vector for a few bytes.
        seen_all += usize::from(sibling.past == *vector);
        ensure(seen_all < 2)?;
        siblings.push(sibling);
    }
    ensure(siblings.is_sorted_by(|a, b| a.own() < b.own()))?;
    let dots: BTreeSet<Dot> = siblings.iter().map(|sibling| sibling.dot).collect();
    ensure(dots.len() == siblings.len())?;
    ensure(!matches!(&siblings[..], [only] if is_settled(only, vector)))?;
    Ok(siblings)
}

fn decode_sibling(
    seen: &Numbered,
    vector: &Vector,
    node_of: &dyn Fn(u32) -> Option<Node>,
    input: &mut &[u8],
) -> Result<Sibling> {
    let flags = take(input, 1)?[0];
    ensure(flags & !(flag::DELETED | flag::SEEN_ALL | flag::ORIGINS | flag::OPEN) == 0)?;
    let own_past;
    let (numbered, past) = if flags & flag::SEEN_ALL != 0 {
        (seen, vector.clone())
    } else {
        own_past = Numbered::decode(input, node_of)?;
        let past = own_past.vector()?;
        ensure(vector.dominates(&past) && past != *vector)?;
        (&own_past, past)
    };
    let own = numbered.decode_write(input)?;
    let origins = if flags & flag::ORIGINS != 0 { numbered.decode_origins(own, input)? } else { vec![] };
    let mut open = Vec::new();
    if flags & flag::OPEN != 0 {
        for _ in 0..count(input, 2)? {
            let column = usize::try_from(read_varint(input)?).map_err(|_| StateDecodeError::NotCanonical)?;
            open.push((column, numbered.decode_dot(input)?));
        }
        ensure(!open.is_empty() && open.is_sorted_by(|a, b| a < b))?;
    }
    let content = if flags & flag::DELETED == 0 { Some(decode_content(input)?) } else { None };
    Ok(Sibling { dot: own.dot, stamp: own.stamp, content, past, origins, open })
}

fn decode_content(input: &mut &[u8]) -> Result<Row> {
    let columns = count(input, 1)?;
    let before = *input;
    for _ in 0..columns {
        decode_value(input)?;
    }
    Ok(Row::from_bytes(&before[..before.len() - input.len()], columns)?)
}

/// Reads a count of things that take at least `bytes_min` each: one that the input cannot hold is a lie.
fn count(input: &mut &[u8], bytes_min: usize) -> Result<usize> {
    let count = usize::try_from(read_varint(input)?).unwrap_or(usize::MAX);
    if count > input.len() / bytes_min { Err(DecodeError::Truncated.into()) } else { Ok(count) }
}

/// Four bytes for each column, of a content that is not stored.
fn encode_hashes(content: &Row, out: &mut Vec<u8>) {
    let columns = Columns::of(content);
    varint(columns.len() as u64, out);
    for column in 0..columns.len() {
        out.extend_from_slice(&hash(columns.value(column)));
    }
}

/// One in four billion changes of a column goes unnoticed. The write itself never does: hashes only decide which
/// columns a write claims, not whether there was one.
fn hash(encoded: Option<&[u8]>) -> [u8; 4] {
    let [a, b, c, d, ..] = RowHash::of(encoded.unwrap_or_default()).0.to_le_bytes();
    [a, b, c, d]
}

/// What is still as it was hashed of the row that stands there now.
fn decode_hashed(row: Option<&Row>, input: &mut &[u8]) -> Result<Row> {
    let hashes = take_hashes(input)?;
    let mut builder = RowBuilder::with_capacity(hashes.len() / 4 + row.map_or(0, |row| row.as_bytes().len()));
    let row = row.map(Columns::of);
    for (column, hashed) in hashes.chunks_exact(4).enumerate() {
        let value = row.as_ref().and_then(|row| row.value(column)).filter(|value| hash(Some(value)) == hashed);
        builder.push_encoded(value.unwrap_or(Row::ABSENT));
    }
    // Columns added since: changing a table makes no version.
    if let Some(row) = row {
        for column in hashes.len() / 4..row.len() {
            builder.push_encoded(row.value(column).unwrap_or(Row::ABSENT));
        }
    }
    Ok(builder.take())
}

fn take_hashes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    let columns = count(input, 4)?;
    Ok(take(input, columns * 4)?)
}

impl Numbered {
    fn of(vector: &Vector, number_of: &mut dyn FnMut(&Node) -> u32) -> Self {
        let numbered = |(node, counter): &(Node, u64)| (u64::from(number_of(node)), *node, *counter);
        let mut nodes: Vec<(u64, Node, u64)> = vector.counters().iter().map(numbered).collect();
        nodes.sort_unstable_by_key(|(number, ..)| *number);
        Self { nodes, genesis: vector.genesis().to_vec() }
    }

    fn vector(&self) -> Result<Vector> {
        let writes = self.nodes.iter().map(|(_, node, counter)| Dot::Write { node: *node, counter: *counter });
        let vector: Vector = writes.chain(self.genesis.iter().copied().map(Dot::Genesis)).collect();
        // Two numbers of one node would be one entry.
        ensure(vector.counters().len() == self.nodes.len())?;
        Ok(vector)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        varint(self.nodes.len() as u64 * 2 + u64::from(!self.genesis.is_empty()), out);
        for (number, _, counter) in &self.nodes {
            varint(*number, out);
            varint(*counter, out);
        }
        if !self.genesis.is_empty() {
            varint(self.genesis.len() as u64, out);
            self.genesis.iter().for_each(|genesis| out.extend_from_slice(&genesis.0));
        }
    }

    fn decode(input: &mut &[u8], node_of: &dyn Fn(u32) -> Option<Node>) -> Result<Self> {
        let first = read_varint(input)?;
        let mut nodes: Vec<(u64, Node, u64)> = Vec::new();
        for _ in 0..first / 2 {
            let (number, counter) = (read_varint(input)?, read_varint(input)?);
            ensure(counter > 0 && nodes.last().is_none_or(|(last, ..)| *last < number))?;
            let node = u32::try_from(number).ok().and_then(node_of).ok_or(StateDecodeError::UnknownNode(number))?;
            nodes.push((number, node, counter));
        }
        let mut genesis = Vec::new();
        if first % 2 == 1 {
            for _ in 0..count(input, 16)? {
                let bytes = take(input, 16)?.try_into().map_err(|_| DecodeError::Truncated)?;
                genesis.push(Genesis(bytes));
            }
            ensure(!genesis.is_empty() && genesis.is_sorted_by(|a, b| a < b))?;
        }
        Ok(Self { nodes, genesis })
    }

    /// A dot as its place in the vector, and how far it is behind the greatest counter of its node.
    fn encode_dot(&self, dot: &Dot, out: &mut Vec<u8>) {
        let place = match dot {
            Dot::Write { node, .. } => self.nodes.iter().position(|(_, of, _)| of == node),
            Dot::Genesis(genesis) => self.genesis.iter().position(|of| of == genesis).map(|at| at + self.nodes.len()),
        };
        let place = place.expect("a sibling has seen its own write, and those that its values come from");
        varint(place as u64, out);
        if let (Dot::Write { counter, .. }, Some((.., greatest))) = (dot, self.nodes.get(place)) {
            varint(greatest - counter, out);
        }
    }

    fn decode_dot(&self, input: &mut &[u8]) -> Result<Dot> {
        let place = usize::try_from(read_varint(input)?).map_err(|_| StateDecodeError::NotCanonical)?;
        if let Some((_, node, greatest)) = self.nodes.get(place) {
            let counter = greatest.checked_sub(read_varint(input)?).filter(|counter| *counter > 0);
            return Ok(Dot::Write { node: *node, counter: counter.ok_or(StateDecodeError::NotCanonical)? });
        }
        let genesis = self.genesis.get(place - self.nodes.len()).ok_or(StateDecodeError::NotCanonical)?;
        Ok(Dot::Genesis(*genesis))
    }

    fn encode_write(&self, write: Origin, out: &mut Vec<u8>) {
        self.encode_dot(&write.dot, out);
        varint(write.stamp.0 >> 16, out);
        varint(write.stamp.0 & 0xffff, out);
    }

    fn decode_write(&self, input: &mut &[u8]) -> Result<Origin> {
        let dot = self.decode_dot(input)?;
        let (ms, logical) = (read_varint(input)?, read_varint(input)?);
        ensure(ms < 1 << 48 && logical < 1 << 16)?;
        Ok(Origin { stamp: Stamp(ms << 16 | logical), dot })
    }

    /// The other writes that columns come from, ascending, and for each column its place among them; 0 is the
    /// sibling's own.
    fn encode_origins(&self, sibling: &Sibling, out: &mut Vec<u8>) {
        if sibling.origins.is_empty() {
            return;
        }
        let mut others: Vec<Origin> = sibling.origins.iter().copied().filter(|o| *o != sibling.own()).collect();
        others.sort_unstable();
        others.dedup();
        varint(others.len() as u64, out);
        others.iter().for_each(|write| self.encode_write(*write, out));
        varint(sibling.origins.len() as u64, out);
        for origin in &sibling.origins {
            varint(others.binary_search(origin).map_or(0, |at| at as u64 + 1), out);
        }
    }

    fn decode_origins(&self, own: Origin, input: &mut &[u8]) -> Result<Vec<Origin>> {
        let mut writes = vec![own];
        for _ in 0..count(input, 3)? {
            writes.push(self.decode_write(input)?);
        }
        let others = &writes[1..];
        ensure(!others.is_empty() && others.is_sorted_by(|a, b| a < b) && !others.contains(&own))?;
        let mut used = vec![false; writes.len()];
        let mut origins = Vec::new();
        for _ in 0..count(input, 1)? {
            let place = usize::try_from(read_varint(input)?).map_err(|_| StateDecodeError::NotCanonical)?;
            origins.push(*writes.get(place).ok_or(StateDecodeError::NotCanonical)?);
            used[place] = true;
        }
        ensure(used[1..].iter().all(|used| *used))?;
        Ok(origins)
    }
}

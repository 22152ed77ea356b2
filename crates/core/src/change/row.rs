//! A row at rest: its values in the canonical encoding, one after the other, in one allocation.

use super::encoding::{DecodeError, Raw, UNCHANGED, decode_raw, decode_value, encode_value};
use super::hash::RowHash;
use super::value::Value;
use std::fmt;

/// The values of some columns in a fixed order, encoded. Equal rows are equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Row(Box<[u8]>);

/// The values of the key columns, in key order.
pub type Key = Row;

impl Row {
    /// Encodes `values`.
    pub fn new<'a>(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let mut builder = RowBuilder::default();
        for value in values {
            builder.push(&value);
        }
        builder.take()
    }

    /// Takes bytes that come from outside, and checks that they are a canonical row of `columns` values.
    pub fn from_bytes(bytes: &[u8], columns: usize) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        for _ in 0..columns {
            decode_value(&mut rest)?;
        }
        if rest.is_empty() { Ok(Self(bytes.into())) } else { Err(DecodeError::Trailing) }
    }

    /// As [`Row::from_bytes`], for as many values as there are.
    pub(crate) fn from_canonical(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            decode_value(&mut rest)?;
        }
        Ok(Self(bytes.into()))
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The values in order. A row is checked when it is made, so decoding cannot fail here.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || if rest.is_empty() { None } else { decode_value(&mut rest).ok() })
    }

    /// The same values, without another look at their texts: for handing them on.
    pub fn raw(&self) -> impl Iterator<Item = Raw<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || if rest.is_empty() { None } else { decode_raw(&mut rest).ok() })
    }

    /// The encoding of [`Value::Unchanged`].
    pub(crate) const ABSENT: &'static [u8] = &[UNCHANGED];

    /// The encoding of each value.
    pub(crate) fn encodings(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let from = rest;
            decode_raw(&mut rest).ok()?;
            Some(&from[..from.len() - rest.len()])
        })
    }

    /// The values at `columns` as a row of their own; `columns` in any order.
    #[must_use]
    pub fn pick(&self, columns: &[usize]) -> Row {
        if let [only] = columns {
            return Self(self.at(*only).into());
        }
        let values: Vec<Value<'_>> = self.values().collect();
        columns.iter().filter_map(|at| values.get(*at).cloned()).collect()
    }

    /// A row of `columns` columns that holds each of these values at its place among `places`; the others are absent.
    #[must_use]
    pub fn spread(&self, places: &[usize], columns: usize) -> Row {
        let values: Vec<&[u8]> = self.encodings().collect();
        let mut builder = RowBuilder::default();
        for column in 0..columns {
            let at = places.iter().position(|place| *place == column);
            builder.push_encoded(at.and_then(|at| values.get(at).copied()).unwrap_or(Self::ABSENT));
        }
        builder.take()
    }

    /// Whether one of the first `columns` columns is absent.
    pub fn lacks_columns(&self, columns: usize) -> bool {
        self.encodings().take(columns).filter(|value| *value != Self::ABSENT).count() < columns
    }

    /// This row, with the values that are absent taken from `from`.
    #[must_use]
    pub fn or(&self, from: &Row) -> Row {
        let mut values: Vec<Value<'_>> = from.values().collect();
        for (column, value) in self.values().enumerate() {
            match values.get_mut(column) {
                Some(_) if value == Value::Unchanged => {}
                Some(there) => *there = value,
                None => values.push(value),
            }
        }
        values.into_iter().collect()
    }

    /// The columns, among as many as there are here, that are absent.
    pub fn absent(&self) -> Vec<usize> {
        self.encodings().enumerate().filter(|(_, value)| *value == Self::ABSENT).map(|(column, _)| column).collect()
    }

    /// This row without the values in `columns` that are those of `other`.
    #[must_use]
    pub fn without(&self, columns: &[usize], other: &Row) -> Row {
        let other: Vec<&[u8]> = other.encodings().collect();
        let mut builder = RowBuilder::default();
        for (column, value) in self.encodings().enumerate() {
            let out = columns.contains(&column) && other.get(column) == Some(&value);
            builder.push_encoded(if out { Self::ABSENT } else { value });
        }
        builder.take()
    }

    /// Whether the values at `columns` are those of `key`, to the bit: the same as picking them and comparing.
    pub fn has(&self, columns: &[usize], key: &Key) -> bool {
        match columns {
            [only] => self.at(*only) == key.as_bytes(),
            _ => self.pick(columns) == *key,
        }
    }

    /// The encoding of one value; empty where there is none.
    fn at(&self, column: usize) -> &[u8] {
        self.encodings().nth(column).unwrap_or_default()
    }

    /// The hash of the encoding.
    pub fn hash(&self) -> RowHash {
        RowHash::of(&self.0)
    }
}

impl<'a> FromIterator<Value<'a>> for Row {
    fn from_iter<I: IntoIterator<Item = Value<'a>>>(values: I) -> Self {
        Self::new(values)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl fmt::Display for Row {
    /// For people: `7`, or `7, 'b'` for a composite key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.values().map(|v| v.to_string()).collect();
        f.write_str(&shown.join(", "))
    }
}

/// Builds rows one after the other, reusing its buffer.
#[derive(Debug, Default)]
pub struct RowBuilder {
    buffer: Vec<u8>,
}

impl RowBuilder {
    /// With room for a row of this many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes) }
    }

    /// Appends one value.
    pub fn push(&mut self, value: &Value<'_>) {
        encode_value(value, &mut self.buffer);
    }

    /// Appends the encoding of one value.
    pub(crate) fn push_encoded(&mut self, encoded: &[u8]) {
        self.buffer.extend_from_slice(encoded);
    }

    /// The length of the row so far, in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was pushed since the last row.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The row so far; the builder starts afresh.
    pub fn take(&mut self) -> Row {
        let row = Row(self.buffer.as_slice().into());
        self.buffer.clear();
        row
    }

    /// The hash of the row so far, without making a row of it; the builder starts afresh.
    pub fn take_hash(&mut self) -> RowHash {
        let hash = RowHash::of(&self.buffer);
        self.buffer.clear();
        hash
    }
}

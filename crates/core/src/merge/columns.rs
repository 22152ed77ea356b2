//! A row taken apart into its columns. Values are equal where their encodings are: a NaN is itself.

use crate::change::{Row, RowBuilder, Value, decode_value};

/// The columns of a row.
pub(super) struct Columns<'a>(Vec<(Value<'a>, &'a [u8])>);

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        let mut rest = row.as_bytes();
        let next = || {
            let before = rest;
            // A row is checked when it is made: this ends where the row does.
            let value = decode_value(&mut rest).ok()?;
            Some((value, &before[..before.len() - rest.len()]))
        };
        Self(std::iter::from_fn(next).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value in `column`; `None` where it is absent.
    pub(super) fn value(&self, column: usize) -> Option<&Value<'a>> {
        self.0.get(column).map(|(value, _)| value).filter(|value| **value != Value::Unchanged)
    }

    /// The encoding of that value; `None` where it is absent.
    pub(super) fn encoded(&self, column: usize) -> Option<&'a [u8]> {
        self.value(column).map(|_| self.0[column].1)
    }
}

/// `row`, with the columns that it lacks taken from `from`.
pub(super) fn fill(row: &Row, from: &Row) -> Row {
    let (row, from) = (Columns::of(row), Columns::of(from));
    let mut builder = RowBuilder::default();
    for column in 0..row.len().max(from.len()) {
        builder.push(row.value(column).or(from.value(column)).unwrap_or(&Value::Unchanged));
    }
    builder.take()
}

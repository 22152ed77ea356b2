//! A row taken apart into its columns, each as its encoding: values are equal where their encodings are.

use crate::change::{Row, RowBuilder};

/// Room for as many columns is made at once.
const COLUMNS_USUAL: usize = 16;

/// The encodings of a row's columns.
pub(super) struct Columns<'a>(Vec<&'a [u8]>);

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        let mut columns = Vec::with_capacity(COLUMNS_USUAL);
        columns.extend(row.encodings());
        Self(columns)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value in `column`; `None` where it is absent.
    pub(super) fn value(&self, column: usize) -> Option<&'a [u8]> {
        self.0.get(column).copied().filter(|encoded| *encoded != Row::ABSENT)
    }
}

/// `row`, with the columns that it lacks taken from `from`.
pub(super) fn fill(row: &Row, from: &Row) -> Row {
    let (row, from) = (Columns::of(row), Columns::of(from));
    let mut builder = RowBuilder::default();
    for column in 0..row.len().max(from.len()) {
        builder.push_encoded(row.value(column).or(from.value(column)).unwrap_or(Row::ABSENT));
    }
    builder.take()
}

//! How keys are stored beside versions: a single integer as SQLite's own, so that versions lie in the order of their
//! rows, and rows written one after the other touch the same pages; any other key in its canonical encoding.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use tidewater_core::change::{Key, Raw, Value};

/// A key on its way into a `_tidewater_` table.
pub(super) struct Stored<'a>(pub(super) &'a Key);

impl ToSql for Stored<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let mut parts = self.0.raw();
        Ok(ToSqlOutput::Borrowed(match (parts.next(), parts.next()) {
            (Some(Raw::I64(number)), None) => ValueRef::Integer(number),
            _ => ValueRef::Blob(self.0.as_bytes()),
        }))
    }
}

/// Where a key lies among others of its table, as stored.
pub(super) fn place(key: &Key) -> (i64, Vec<u8>) {
    let mut parts = key.raw();
    match (parts.next(), parts.next()) {
        (Some(Raw::I64(number)), None) => (number, vec![]),
        _ => (i64::MAX, key.as_bytes().to_vec()),
    }
}

/// A key on its way out.
pub(super) struct Read(pub(super) Key);

impl FromSql for Read {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(number) => Ok(Self(Key::new([Value::I64(number)]))),
            ValueRef::Blob(bytes) => {
                crate::ledger::key(bytes).map(Self).map_err(|error| FromSqlError::Other(Box::new(error)))
            }
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

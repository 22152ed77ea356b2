//! Values between SQLite and the core. SQLite has five kinds; each becomes one of ours and comes back the same.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row as SqlRow, Statement, ToSql};
use std::borrow::Cow;
use tidewater_core::change::{Raw, Value};

/// A value as SQLite holds it. Text that is not UTF-8 stays what it is.
pub(crate) fn value(from: ValueRef<'_>) -> Value<'_> {
    match from {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::I64(v),
        ValueRef::Real(v) => Value::F64(v),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(Cow::Borrowed(text)),
            Err(_) => Value::RawText(Cow::Borrowed(bytes)),
        },
        ValueRef::Blob(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
    }
}

/// A column of a result row.
pub(crate) fn column<'r>(row: &'r SqlRow<'_>, at: usize) -> rusqlite::Result<Value<'r>> {
    Ok(value(row.get_ref(at)?))
}

/// The same, with values over the limit left out. The second part says whether it was.
pub(crate) fn limited<'r>(row: &'r SqlRow<'_>, at: usize, max: Option<u64>) -> rusqlite::Result<(Value<'r>, bool)> {
    let from = row.get_ref(at)?;
    let length = match from {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
        _ => 0,
    };
    if max.is_some_and(|max| length > max) { Ok((Value::Null, true)) } else { Ok((value(from), false)) }
}

struct Bound<'v>(Raw<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match &self.0 {
            Raw::Null => ValueRef::Null,
            Raw::I64(v) => ValueRef::Integer(*v),
            Raw::F64(v) => ValueRef::Real(*v),
            Raw::Text(v) => ValueRef::Text(v),
            Raw::Bytes(v) => ValueRef::Blob(v),
            Raw::Other(Value::Bool(v)) => ValueRef::Integer(i64::from(*v)),
            Raw::Other(other) => {
                let what = format!("no SQLite form for {other:?} is defined yet");
                return Err(rusqlite::Error::ToSqlConversionFailure(what.into()));
            }
        }))
    }
}

/// Binds values to the parameters of a statement, from `first` (1-based) on. Says which parameter comes next.
pub(crate) fn bind<'v>(
    statement: &mut Statement<'_>,
    first: usize,
    values: impl IntoIterator<Item = Raw<'v>>,
) -> rusqlite::Result<usize> {
    let mut at = first;
    for value in values {
        statement.raw_bind_parameter(at, Bound(value))?;
        at += 1;
    }
    Ok(at)
}

//! Values between PostgreSQL and the core: from its text and binary forms, and into them.
//!
//! Contract. What is read and written back is the same value to the server: `v::text` before and after is equal. What a
//! column cannot hold exactly is refused ([`ValueError::Misfit`]), never rounded. Text always goes into any type, as
//! the type's own text form. Malformed input is an error, never a panic. Text forms are those of a session with
//! ISO dates, `postgres` intervals, UTC and hexadecimal bytes, which [`crate::wire`] sets. Pure.
//!
//! | types | value | not exact in the value |
//! |---|---|---|
//! | `bool` | `Bool` | |
//! | `int2`, `int4`, `int8`, `oid` | `I64` | |
//! | `float4`, `float8` | `F64` | bits of NaN |
//! | `numeric` | `Decimal`, with its scale; NaN and infinities | |
//! | `text`, `varchar`, `bpchar`, `name` | `Text`; `RawText` where a database without an encoding holds other bytes | |
//! | `"char"` | `Text`; beyond ASCII as `\ooo` | |
//! | `bytea` | `Bytes` | |
//! | `date` | `Date`; the ends of `i32` are the infinities | |
//! | `time` | `Time`, 24:00:00 included | |
//! | `timestamp`, `timestamptz` | `Timestamp`, `TimestampTz` | after 294247-01-10, in their last 29 years: `Text` |
//! | `interval` | `Interval`; all parts at their ends are the infinities, as at the server | |
//! | `uuid` | `Uuid` | |
//! | `json`, `jsonb` | `Json`, to the letter | |
//! | arrays of these and of the next line | `Array`, of arrays for more dimensions | other lower bounds than 1: `Text` |
//! | `timetz`, `inet`, `cidr`, `macaddr`, `macaddr8`, `money`, `bit`, `varbit`, `xml`, `tsvector` | `Text`, as the server writes them | |
//! | all others: enums, ranges, composites, `hstore`, geometry, …, and arrays of them | `Text`, as the server writes them | |
//!
//! A domain is its base type: callers look that up and ask for it. Types that are carried as `Text` are read and written
//! in text form only ([`PgType::has_binary`]). `money` depends on the server's locale. Tests: below, and
//! `tests/it/values.rs`, where real servers render what went through here.

mod array;
mod calendar;
mod number;
mod scalar;

use array::Shape;
use scalar::Scalar;
use std::borrow::Cow;
use tidewater_core::change::Value;

/// Why a value did not go through. Holds none itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Bytes that are no value of the type.
    #[error("not a value of type {0}")]
    Malformed(&'static str),
    /// A value that the type cannot hold exactly.
    #[error("a value of another kind, or out of the range of type {0}")]
    Misfit(&'static str),
    /// The type is carried as text.
    #[error("type {0} is read and written as text only")]
    NoBinary(&'static str),
}

/// How the values of a type are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgType {
    scalar: Scalar,
    /// For an array, the number of its elements' type.
    element: Option<u32>,
}

impl PgType {
    /// By the type's number; of a domain, that of its base type.
    pub fn of(oid: u32) -> Self {
        match Scalar::of_array(oid) {
            Some((scalar, element)) => Self { scalar, element: Some(element) },
            None => Self { scalar: Scalar::of(oid), element: None },
        }
    }

    /// Whether the binary form is understood: what is carried as text has none here.
    pub fn has_binary(self) -> bool {
        self.scalar.has_binary()
    }

    /// Reads the text form.
    pub fn decode_text(self, text: &[u8]) -> Result<Value<'_>, ValueError> {
        if self.element.is_none() {
            return self.scalar.decode_text(text);
        }
        let shape = Shape::from_text(text).ok_or(ValueError::Malformed("array"))?;
        if shape.is_plain() {
            return shape.into_value(|element| self.scalar.decode_text(element).map(Value::into_owned));
        }
        let text = std::str::from_utf8(text).map_err(|_| ValueError::Malformed("array"))?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    /// Reads the binary form.
    pub fn decode_binary(self, bytes: &[u8]) -> Result<Value<'_>, ValueError> {
        let Some(element) = self.element else { return self.scalar.decode_binary(bytes) };
        if !self.has_binary() {
            return Err(ValueError::NoBinary(self.scalar.name()));
        }
        let shape = Shape::from_binary(bytes, element).ok_or(ValueError::Malformed("array"))?;
        if shape.is_plain() {
            return shape.into_value(|element| self.scalar.decode_binary(element).map(Value::into_owned));
        }
        let rendered = shape.map(|element| {
            let mut text = Vec::new();
            self.scalar.encode_text(&self.scalar.decode_binary(element)?, &mut text)?;
            Ok(text)
        })?;
        let text = String::from_utf8(rendered.to_text()).map_err(|_| ValueError::Malformed("array"))?;
        Ok(Value::Text(Cow::Owned(text)))
    }

    /// Appends the text form, as the server writes it. NULL has none: callers see to it before.
    pub fn encode_text(self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.element.is_none() {
            return self.scalar.encode_text(value, out);
        }
        match value {
            Value::Array(values) => {
                let encode = |value: &Value<'_>| {
                    let mut text = Vec::new();
                    self.scalar.encode_text(value, &mut text).map(|()| text)
                };
                out.extend_from_slice(&Shape::of(values, encode)?.to_text());
            }
            Value::Text(text) => {
                Shape::from_text(text.as_bytes()).ok_or(ValueError::Misfit("array"))?;
                out.extend_from_slice(text.as_bytes());
            }
            _ => return Err(ValueError::Misfit("array")),
        }
        Ok(())
    }

    /// Appends the binary form. NULL has none: callers see to it before.
    pub fn encode_binary(self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let Some(element) = self.element else { return self.scalar.encode_binary(value, out) };
        if !self.has_binary() {
            return Err(ValueError::NoBinary(self.scalar.name()));
        }
        let encode = |value: &Value<'_>| {
            let mut bytes = Vec::new();
            self.scalar.encode_binary(value, &mut bytes).map(|()| bytes)
        };
        let shape = match value {
            Value::Array(values) => Shape::of(values, encode)?,
            Value::Text(text) => {
                let shape = Shape::from_text(text.as_bytes()).ok_or(ValueError::Misfit("array"))?;
                shape.map(|element| {
                    encode(&self.scalar.decode_text(element).map_err(|_| ValueError::Misfit("array"))?)
                })?
            }
            _ => return Err(ValueError::Misfit("array")),
        };
        shape.to_binary(element, out).ok_or(ValueError::Misfit("array"))
    }
}

//! The canonical encoding of values: one value has exactly one encoding, and a decoder accepts no other.
//!
//! It serves transport, keys, hashes and the journal alike. Drawn byte by byte in `docs/formats/row.md`; golden
//! vectors in `tests/it/golden/`. A tag byte, then the contents; numbers of bytes and counts as minimal LEB128.

use super::value::{Decimal, Value};
use std::borrow::Cow;

/// Nested arrays deeper than this are refused: a hostile row must not exhaust the stack.
const DEPTH_MAX: usize = 16;

/// The whole encoding of [`Value::Unchanged`].
pub(super) const UNCHANGED: u8 = tag::UNCHANGED;

mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const UNCHANGED: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const I64: u8 = 4;
    pub(super) const U64: u8 = 5;
    pub(super) const F64: u8 = 6;
    pub(super) const DECIMAL: u8 = 7;
    pub(super) const TEXT: u8 = 8;
    pub(super) const RAW_TEXT: u8 = 9;
    pub(super) const BYTES: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const TIME: u8 = 12;
    pub(super) const TIMESTAMP: u8 = 13;
    pub(super) const TIMESTAMP_TZ: u8 = 14;
    pub(super) const INTERVAL: u8 = 15;
    pub(super) const UUID: u8 = 16;
    pub(super) const JSON: u8 = 17;
    pub(super) const ARRAY: u8 = 18;
}

/// Bytes that are not a canonical encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// An unknown tag.
    #[error("unknown tag {0}")]
    Tag(u8),
    /// A form that the encoder never writes.
    #[error("not the canonical form of its value")]
    NotCanonical,
    /// Arrays nested too deep.
    #[error("arrays nested deeper than {DEPTH_MAX}")]
    Depth,
    /// Bytes after the end.
    #[error("bytes left over after the last value")]
    Trailing,
}

/// Appends the encoding of `value`.
pub fn encode_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(tag::NULL),
        Value::Unchanged => out.push(tag::UNCHANGED),
        Value::Bool(false) => out.push(tag::FALSE),
        Value::Bool(true) => out.push(tag::TRUE),
        Value::I64(v) => signed(tag::I64, *v, out),
        Value::U64(v) => match i64::try_from(*v) {
            Ok(v) => signed(tag::I64, v, out),
            Err(_) => {
                out.push(tag::U64);
                out.extend_from_slice(&v.to_le_bytes());
            }
        },
        Value::F64(v) => {
            out.push(tag::F64);
            let v = if v.is_nan() { f64::NAN } else { *v };
            out.extend_from_slice(&v.to_bits().to_le_bytes());
        }
        Value::Decimal(v) => bytes(tag::DECIMAL, v.as_str().as_bytes(), out),
        Value::Text(v) => bytes(tag::TEXT, v.as_bytes(), out),
        Value::RawText(v) => match std::str::from_utf8(v) {
            Ok(text) => bytes(tag::TEXT, text.as_bytes(), out),
            Err(_) => bytes(tag::RAW_TEXT, v, out),
        },
        Value::Bytes(v) => bytes(tag::BYTES, v, out),
        Value::Date(v) => signed(tag::DATE, i64::from(*v), out),
        Value::Time(v) => signed(tag::TIME, *v, out),
        Value::Timestamp(v) => signed(tag::TIMESTAMP, *v, out),
        Value::TimestampTz(v) => signed(tag::TIMESTAMP_TZ, *v, out),
        Value::Interval { months, days, micros } => {
            out.push(tag::INTERVAL);
            varint(zigzag(i64::from(*months)), out);
            varint(zigzag(i64::from(*days)), out);
            varint(zigzag(*micros), out);
        }
        Value::Uuid(v) => {
            out.push(tag::UUID);
            out.extend_from_slice(v);
        }
        Value::Json(v) => bytes(tag::JSON, v.as_bytes(), out),
        Value::Array(v) => {
            out.push(tag::ARRAY);
            varint(v.len() as u64, out);
            for value in v {
                encode_value(value, out);
            }
        }
    }
}

/// Reads one value from the front of `input` and moves `input` past it. Never allocates more than `input` is long.
pub fn decode_value<'a>(input: &mut &'a [u8]) -> Result<Value<'a>, DecodeError> {
    decode_nested(input, 0)
}

fn decode_nested<'a>(input: &mut &'a [u8], depth: usize) -> Result<Value<'a>, DecodeError> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| DecodeError::NotCanonical);
    Ok(match take(input, 1)?[0] {
        tag::NULL => Value::Null,
        tag::UNCHANGED => Value::Unchanged,
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::I64 => Value::I64(unsigned_zigzag(input)?),
        tag::U64 => {
            let v = u64::from_le_bytes(array(input)?);
            if i64::try_from(v).is_ok() {
                return Err(DecodeError::NotCanonical);
            }
            Value::U64(v)
        }
        tag::F64 => {
            let v = f64::from_bits(u64::from_le_bytes(array(input)?));
            if v.is_nan() && v.to_bits() != f64::NAN.to_bits() {
                return Err(DecodeError::NotCanonical);
            }
            Value::F64(v)
        }
        tag::DECIMAL => {
            let digits = text(sized(input)?)?;
            Value::Decimal(Decimal::from_canonical(digits).ok_or(DecodeError::NotCanonical)?)
        }
        tag::TEXT => Value::Text(Cow::Borrowed(text(sized(input)?)?)),
        tag::RAW_TEXT => {
            let raw = sized(input)?;
            if std::str::from_utf8(raw).is_ok() {
                return Err(DecodeError::NotCanonical);
            }
            Value::RawText(Cow::Borrowed(raw))
        }
        tag::BYTES => Value::Bytes(Cow::Borrowed(sized(input)?)),
        tag::DATE => Value::Date(narrow(unsigned_zigzag(input)?)?),
        tag::TIME => Value::Time(unsigned_zigzag(input)?),
        tag::TIMESTAMP => Value::Timestamp(unsigned_zigzag(input)?),
        tag::TIMESTAMP_TZ => Value::TimestampTz(unsigned_zigzag(input)?),
        tag::INTERVAL => Value::Interval {
            months: narrow(unsigned_zigzag(input)?)?,
            days: narrow(unsigned_zigzag(input)?)?,
            micros: unsigned_zigzag(input)?,
        },
        tag::UUID => Value::Uuid(array(input)?),
        tag::JSON => Value::Json(Cow::Borrowed(text(sized(input)?)?)),
        tag::ARRAY => {
            if depth == DEPTH_MAX {
                return Err(DecodeError::Depth);
            }
            let count = read_varint(input)?;
            // Every value takes at least a byte, so a count beyond the input is a lie.
            if count > input.len() as u64 {
                return Err(DecodeError::Truncated);
            }
            (0..count).map(|_| decode_nested(input, depth + 1)).collect::<Result<_, _>>().map(Value::Array)?
        }
        other => return Err(DecodeError::Tag(other)),
    })
}

/// A value as it lies in a row: what is to be handed on as bytes is not looked at again.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw<'a> {
    /// SQL NULL.
    Null,
    /// A signed integer.
    I64(i64),
    /// A binary floating point number.
    F64(f64),
    /// Text, UTF-8 or not.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Any other value.
    Other(Value<'a>),
}

/// Reads one value from the front of a row, which was checked when it was made, and moves `input` past it.
pub(super) fn decode_raw<'a>(input: &mut &'a [u8]) -> Result<Raw<'a>, DecodeError> {
    let Some((tag, rest)) = input.split_first() else { return Err(DecodeError::Truncated) };
    let whole = *input;
    *input = rest;
    Ok(match *tag {
        tag::NULL => Raw::Null,
        tag::I64 => Raw::I64(unsigned_zigzag(input)?),
        tag::F64 => Raw::F64(f64::from_bits(u64::from_le_bytes(array(input)?))),
        tag::TEXT | tag::RAW_TEXT | tag::JSON => Raw::Text(sized(input)?),
        tag::BYTES => Raw::Bytes(sized(input)?),
        _ => {
            *input = whole;
            Raw::Other(decode_value(input)?)
        }
    })
}

/// Appends a minimal LEB128 number.
pub(crate) fn varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Reads a minimal LEB128 number.
pub(crate) fn read_varint(input: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut v = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        if shift == 63 && byte > 1 {
            return Err(DecodeError::NotCanonical);
        }
        v |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if byte == 0 && shift > 0 { Err(DecodeError::NotCanonical) } else { Ok(v) };
        }
    }
    Err(DecodeError::NotCanonical)
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unsigned_zigzag(input: &mut &[u8]) -> Result<i64, DecodeError> {
    let v = read_varint(input)?;
    Ok((v >> 1) as i64 ^ -((v & 1) as i64))
}

fn signed(tag: u8, v: i64, out: &mut Vec<u8>) {
    out.push(tag);
    varint(zigzag(v), out);
}

fn bytes(tag: u8, v: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(v.len() as u64, out);
    out.extend_from_slice(v);
}

fn narrow(v: i64) -> Result<i32, DecodeError> {
    i32::try_from(v).map_err(|_| DecodeError::NotCanonical)
}

/// Takes `count` bytes from the front of `input`.
pub(crate) fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], DecodeError> {
    let (front, rest) = input.split_at_checked(count).ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(front)
}

fn array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    take(input, N)?.try_into().map_err(|_| DecodeError::Truncated)
}

fn sized<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let count = read_varint(input)?;
    take(input, usize::try_from(count).map_err(|_| DecodeError::Truncated)?)
}

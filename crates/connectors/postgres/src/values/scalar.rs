//! Single values: one kind of handling for each group of types that are alike.

use super::{ValueError, calendar, number};
use std::borrow::Cow;
use tidewater_core::change::{Decimal, Value};

/// How values of a type are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    /// Carried as the server's own text.
    Other,
}

/// Type, array of it, handling. From the server's catalogue, where these numbers never change.
const TYPES: [(u32, u32, Scalar); 32] = [
    (16, 1000, Scalar::Bool),
    (17, 1001, Scalar::Bytea),
    (18, 1002, Scalar::Char),
    (19, 1003, Scalar::Text), // name
    (20, 1016, Scalar::Int8),
    (21, 1005, Scalar::Int2),
    (23, 1007, Scalar::Int4),
    (25, 1009, Scalar::Text),
    (26, 1028, Scalar::Oid),
    (114, 199, Scalar::Json),
    (142, 143, Scalar::Other), // xml
    (650, 651, Scalar::Other), // cidr
    (700, 1021, Scalar::Float4),
    (701, 1022, Scalar::Float8),
    (774, 775, Scalar::Other),  // macaddr8
    (790, 791, Scalar::Other),  // money
    (829, 1040, Scalar::Other), // macaddr
    (869, 1041, Scalar::Other), // inet
    (1042, 1014, Scalar::Text), // bpchar
    (1043, 1015, Scalar::Text), // varchar
    (1082, 1182, Scalar::Date),
    (1083, 1183, Scalar::Time),
    (1114, 1115, Scalar::Timestamp),
    (1184, 1185, Scalar::TimestampTz),
    (1186, 1187, Scalar::Interval),
    (1266, 1270, Scalar::Other), // timetz
    (1560, 1561, Scalar::Other), // bit
    (1562, 1563, Scalar::Other), // varbit
    (1700, 1231, Scalar::Numeric),
    (2950, 2951, Scalar::Uuid),
    (3614, 3643, Scalar::Other), // tsvector
    (3802, 3807, Scalar::Jsonb),
];

impl Scalar {
    pub(super) fn of(oid: u32) -> Self {
        TYPES.iter().find(|(scalar, _, _)| *scalar == oid).map_or(Self::Other, |(_, _, found)| *found)
    }

    /// The handling of an array's elements, and the number of their type.
    pub(super) fn of_array(oid: u32) -> Option<(Self, u32)> {
        TYPES.iter().find(|(_, array, _)| *array == oid).map(|(element, _, found)| (*found, *element))
    }

    pub(super) fn has_binary(self) -> bool {
        self != Self::Other
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Oid => "oid",
            Self::Float4 => "float4",
            Self::Float8 => "float8",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Char => "\"char\"",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Other => "of another kind",
        }
    }

    pub(super) fn decode_text(self, bytes: &[u8]) -> Result<Value<'_>, ValueError> {
        let malformed = ValueError::Malformed(self.name());
        let text = match (self, std::str::from_utf8(bytes)) {
            (_, Ok(text)) => text,
            (Self::Text | Self::Other, Err(_)) => return Ok(Value::RawText(Cow::Borrowed(bytes))),
            // What servers before 16 write for a character beyond ASCII.
            (Self::Char, Err(_)) => return char_value(bytes).ok_or(malformed),
            (_, Err(_)) => return Err(malformed),
        };
        let value = match self {
            Self::Bool => match text {
                "t" | "true" => Some(Value::Bool(true)),
                "f" | "false" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid => {
                text.parse().ok().filter(|v| self.holds(*v)).map(Value::I64)
            }
            Self::Float4 => number::float4(text).map(|v| Value::F64(v.into())),
            Self::Float8 => number::float8(text).map(Value::F64),
            Self::Numeric => Decimal::from_canonical(text).or_else(|| Decimal::parse(text)).map(Value::Decimal),
            Self::Text | Self::Char | Self::Other => Some(Value::Text(Cow::Borrowed(text))),
            Self::Bytea => number::unhex(text.strip_prefix("\\x")).map(|v| Value::Bytes(Cow::Owned(v))),
            Self::Date => calendar::date_from_text(text).map(Value::Date),
            Self::Time => calendar::time_from_text(text).map(Value::Time),
            Self::Timestamp => calendar::timestamp_from_text(text, false).map(|v| calendar::timestamp_value(v, false)),
            Self::TimestampTz => calendar::timestamp_from_text(text, true).map(|v| calendar::timestamp_value(v, true)),
            Self::Interval => calendar::interval_from_text(text),
            Self::Uuid => number::uuid(text).map(Value::Uuid),
            Self::Json | Self::Jsonb => Some(Value::Json(Cow::Borrowed(text))),
        };
        value.ok_or(malformed)
    }

    pub(super) fn decode_binary(self, bytes: &[u8]) -> Result<Value<'_>, ValueError> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let value = match self {
            Self::Bool => match bytes {
                [0] => Some(Value::Bool(false)),
                [1] => Some(Value::Bool(true)),
                _ => None,
            },
            Self::Int2 => array(bytes).map(|v| Value::I64(i16::from_be_bytes(v).into())),
            Self::Int4 => array(bytes).map(|v| Value::I64(i32::from_be_bytes(v).into())),
            Self::Int8 => array(bytes).map(|v| Value::I64(i64::from_be_bytes(v))),
            Self::Oid => array(bytes).map(|v| Value::I64(u32::from_be_bytes(v).into())),
            Self::Float4 => array(bytes).map(|v| Value::F64(f32::from_be_bytes(v).into())),
            Self::Float8 => array(bytes).map(|v| Value::F64(f64::from_be_bytes(v))),
            Self::Numeric => number::numeric_from_binary(bytes).map(Value::Decimal),
            Self::Text => Some(match text(bytes) {
                Some(text) => Value::Text(Cow::Borrowed(text)),
                None => Value::RawText(Cow::Borrowed(bytes)),
            }),
            Self::Char => char_value(bytes),
            Self::Bytea => Some(Value::Bytes(Cow::Borrowed(bytes))),
            Self::Date => array(bytes).and_then(|v| calendar::date_value(i32::from_be_bytes(v))).map(Value::Date),
            Self::Time => {
                let time = array(bytes).map(i64::from_be_bytes);
                time.filter(|v| (0..=calendar::DAY).contains(v)).map(Value::Time)
            }
            Self::Timestamp | Self::TimestampTz => {
                let at = array(bytes).map(i64::from_be_bytes).filter(|v| calendar::is_timestamp(*v));
                at.map(|v| calendar::timestamp_value(v, self == Self::TimestampTz))
            }
            Self::Interval => calendar::interval_from_binary(bytes),
            Self::Uuid => array(bytes).map(Value::Uuid),
            Self::Json => text(bytes).map(|v| Value::Json(Cow::Borrowed(v))),
            Self::Jsonb => bytes.strip_prefix(&[1]).and_then(text).map(|v| Value::Json(Cow::Borrowed(v))),
            Self::Other => return Err(ValueError::NoBinary(self.name())),
        };
        value.ok_or(ValueError::Malformed(self.name()))
    }

    /// A value of another kind that means the same to this type: numbers of any kind where they are exact, text as
    /// the type's text form.
    fn native<'v>(self, value: &'v Value<'v>) -> Result<Value<'v>, ValueError> {
        let misfit = ValueError::Misfit(self.name());
        let whole = |v: &Value<'_>| match v {
            Value::I64(v) => Some(i128::from(*v)),
            Value::U64(v) => Some(i128::from(*v)),
            _ => None,
        };
        let found = match (self, value) {
            (Self::Text, Value::Text(_) | Value::RawText(_)) => return Ok(value.clone()),
            (Self::Text | Self::Other, Value::Json(v)) => Some(Value::Text(Cow::Borrowed(v.as_ref()))),
            (Self::Other | Self::Char, Value::Text(v)) => Some(Value::Text(Cow::Borrowed(v.as_ref()))),
            (Self::Other, Value::RawText(v)) => Some(Value::RawText(Cow::Borrowed(v.as_ref()))),
            (_, Value::Text(v)) => return self.decode_text(v.as_bytes()).map_err(|_| misfit),
            (Self::Bool, Value::Bool(_))
            | (Self::Numeric, Value::Decimal(_))
            | (Self::Bytea, Value::Bytes(_))
            | (Self::Date, Value::Date(_))
            | (Self::Time, Value::Time(_))
            | (Self::Timestamp, Value::Timestamp(_))
            | (Self::TimestampTz, Value::TimestampTz(_))
            | (Self::Interval, Value::Interval { .. })
            | (Self::Uuid, Value::Uuid(_))
            | (Self::Json | Self::Jsonb, Value::Json(_))
            | (Self::Float8, Value::F64(_)) => Some(value.clone()),
            (Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid, _) => {
                whole(value).and_then(|v| i64::try_from(v).ok()).filter(|v| self.holds(*v)).map(Value::I64)
            }
            (Self::Float4, Value::F64(v)) => {
                let same = v.is_nan() || f64::from(*v as f32).to_bits() == v.to_bits();
                same.then_some(Value::F64(*v))
            }
            (Self::Float8, _) => whole(value).filter(|v| (*v as f64) as i128 == *v).map(|v| Value::F64(v as f64)),
            (Self::Numeric, _) => whole(value).and_then(|v| Decimal::parse(&v.to_string())).map(Value::Decimal),
            _ => None,
        };
        found.ok_or(misfit)
    }

    fn holds(self, v: i64) -> bool {
        match self {
            Self::Int2 => i16::try_from(v).is_ok(),
            Self::Int4 => i32::try_from(v).is_ok(),
            Self::Oid => u32::try_from(v).is_ok(),
            _ => true,
        }
    }

    pub(super) fn encode_text(self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let misfit = ValueError::Misfit(self.name());
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        match self.native(value)? {
            Value::Bool(v) => put(if v { "t" } else { "f" }),
            Value::I64(v) => put(&v.to_string()),
            Value::F64(v) if self == Self::Float4 => put(&number::float4_text(v as f32)),
            Value::F64(v) => put(&number::float8_text(v)),
            Value::Decimal(v) => put(v.as_str()),
            Value::Text(v) | Value::Json(v) => put(&v),
            Value::RawText(v) => out.extend_from_slice(&v),
            Value::Bytes(v) => {
                put("\\x");
                put(&number::hex(&v));
            }
            Value::Date(v) => put(&calendar::date_text(v).ok_or(misfit)?),
            Value::Time(v) => put(&calendar::time_text(v).ok_or(misfit)?),
            Value::Timestamp(v) => put(&calendar::timestamp_text(calendar::server_time(v).ok_or(misfit)?, false)),
            Value::TimestampTz(v) => put(&calendar::timestamp_text(calendar::server_time(v).ok_or(misfit)?, true)),
            Value::Interval { months, days, micros } => put(&calendar::interval_text(months, days, micros)),
            Value::Uuid(v) => put(&number::uuid_text(&v)),
            _ => return Err(misfit),
        }
        Ok(())
    }

    pub(super) fn encode_binary(self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let misfit = ValueError::Misfit(self.name());
        if self == Self::Other {
            return Err(ValueError::NoBinary(self.name()));
        }
        match self.native(value)? {
            Value::Bool(v) => out.push(u8::from(v)),
            Value::I64(v) => {
                // Whether it fits was looked at before: the lowest bytes are all there is.
                let width = match self {
                    Self::Int2 => 2,
                    Self::Int8 => 8,
                    _ => 4,
                };
                out.extend_from_slice(&v.to_be_bytes()[8 - width..]);
            }
            // Of the many NaNs, the one that the server makes of the word.
            Value::F64(v) if self == Self::Float4 => {
                let v = if v.is_nan() { f32::NAN } else { v as f32 };
                out.extend_from_slice(&v.to_be_bytes());
            }
            Value::F64(v) if v.is_nan() => out.extend_from_slice(&f64::NAN.to_be_bytes()),
            Value::F64(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Decimal(v) => number::numeric_to_binary(&v, out).ok_or(misfit)?,
            Value::Text(v) if self == Self::Char => out.push(char_byte(&v).ok_or(misfit)?),
            // Beyond what a value of that kind can say; see `calendar::timestamp_value`.
            Value::Text(v) if matches!(self, Self::Timestamp | Self::TimestampTz) => {
                let at = calendar::timestamp_from_text(&v, self == Self::TimestampTz).ok_or(misfit)?;
                out.extend_from_slice(&at.to_be_bytes());
            }
            Value::Json(v) => {
                if self == Self::Jsonb {
                    out.push(1);
                }
                out.extend_from_slice(v.as_bytes());
            }
            Value::Text(v) => out.extend_from_slice(v.as_bytes()),
            Value::RawText(v) | Value::Bytes(v) => out.extend_from_slice(&v),
            Value::Date(v) => out.extend_from_slice(&calendar::server_date(v).ok_or(misfit)?.to_be_bytes()),
            Value::Time(v) if (0..=calendar::DAY).contains(&v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Timestamp(v) | Value::TimestampTz(v) => {
                out.extend_from_slice(&calendar::server_time(v).ok_or(misfit)?.to_be_bytes());
            }
            Value::Interval { months, days, micros } => {
                out.extend_from_slice(&micros.to_be_bytes());
                out.extend_from_slice(&days.to_be_bytes());
                out.extend_from_slice(&months.to_be_bytes());
            }
            Value::Uuid(v) => out.extend_from_slice(&v),
            _ => return Err(misfit),
        }
        Ok(())
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A `"char"`: one byte, as servers from 16 on write it.
fn char_value(bytes: &[u8]) -> Option<Value<'_>> {
    Some(Value::Text(match bytes {
        [0] | [] => Cow::Borrowed(""),
        [byte] if byte.is_ascii() => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        [byte] => Cow::Owned(format!("\\{byte:03o}")),
        _ => return None,
    }))
}

fn char_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [] => Some(0),
        [byte] => Some(*byte),
        [b'\\', digits @ ..] if digits.len() == 3 => u8::from_str_radix(&text[1..], 8).ok(),
        _ => None,
    }
}

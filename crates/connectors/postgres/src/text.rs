//! Values as PostgreSQL writes them, and its COPY text form.
//!
//! Whole numbers, floating point numbers, truth values (as 0 and 1) and bytes are carried as such; everything else as
//! the text that PostgreSQL itself prints under the settings of `session`, and reads again without a loss. So a value
//! has one form everywhere, and one hash. Floating point numbers that are no numbers stay text: not every database
//! has them. Tests: below, and by round trips in `tests/it/values.rs`.

use std::borrow::Cow;
use std::io::Write;
use tidewater_core::change::{ColumnKind, Raw, Value};

/// How a column's text is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    Bool,
    Integer,
    Float,
    /// A floating point number of 4 bytes.
    Single,
    Bytes,
    Text,
}

impl Carried {
    pub(crate) fn of(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Bool => Self::Bool,
            ColumnKind::Integer(_) => Self::Integer,
            ColumnKind::Float(4) => Self::Single,
            ColumnKind::Float(_) => Self::Float,
            ColumnKind::Bytes => Self::Bytes,
            _ => Self::Text,
        }
    }

    /// The value of a text. Text that is not what its type promises stays text.
    pub(crate) fn value<'t>(self, text: &'t [u8]) -> Value<'t> {
        let Ok(utf8) = std::str::from_utf8(text) else { return Value::RawText(Cow::Borrowed(text)) };
        let read = match self {
            Self::Bool => match utf8 {
                "t" => Some(Value::I64(1)),
                "f" => Some(Value::I64(0)),
                _ => None,
            },
            Self::Integer => utf8.parse().ok().map(Value::I64),
            Self::Float | Self::Single => utf8.parse::<f64>().ok().filter(|number| !number.is_nan()).map(Value::F64),
            Self::Bytes => utf8.strip_prefix("\\x").and_then(unhex).map(|bytes| Value::Bytes(Cow::Owned(bytes))),
            Self::Text => None,
        };
        read.unwrap_or(Value::Text(Cow::Borrowed(utf8)))
    }

    /// Whether a value can stand in such a column and come back as it was.
    pub(crate) fn takes(self, value: &Raw<'_>) -> bool {
        match (self, value) {
            (_, Raw::Null) => true,
            (Self::Bool, Raw::I64(0 | 1)) => true,
            (Self::Integer, Raw::I64(_)) | (Self::Float, Raw::F64(_)) | (Self::Bytes, Raw::Bytes(_)) => true,
            // What a column prints is the shortest text that gives its 4 bytes back: that must be this number.
            (Self::Single, Raw::F64(number)) => (*number as f32).to_string().parse() == Ok(*number),
            (Self::Float | Self::Single, Raw::Text(text)) => *text == b"NaN",
            (Self::Text, Raw::Text(_)) => true,
            _ => false,
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The text of a value as PostgreSQL reads it; `None` is NULL.
pub(crate) fn text<'v>(value: &Raw<'v>) -> Option<Cow<'v, [u8]>> {
    Some(match value {
        Raw::Null | Raw::Other(Value::Null | Value::Unchanged) => return None,
        Raw::I64(number) => Cow::Owned(number.to_string().into_bytes()),
        Raw::F64(number) => Cow::Owned(float(*number).into_bytes()),
        Raw::Text(text) => Cow::Borrowed(*text),
        Raw::Bytes(bytes) => {
            let mut out = b"\\x".to_vec();
            hex(bytes, &mut out);
            Cow::Owned(out)
        }
        Raw::Other(Value::Bool(truth)) => Cow::Borrowed(if *truth { b"1" } else { b"0" }),
        Raw::Other(other) => Cow::Owned(other.to_string().into_bytes()),
    })
}

fn float(number: f64) -> String {
    match number {
        n if n.is_nan() => "NaN".to_owned(),
        n if n.is_infinite() => if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        n => format!("{n:?}"),
    }
}

/// A value as a literal in SQL, of no type yet.
pub(crate) fn literal(value: &Raw<'_>) -> String {
    match text(value) {
        None => "NULL".to_owned(),
        Some(text) => format!("'{}'", String::from_utf8_lossy(&text).replace('\'', "''")),
    }
}

/// Appends a row in COPY's text form.
pub(crate) fn push_line<'v>(values: impl Iterator<Item = Raw<'v>>, out: &mut Vec<u8>) {
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        match value {
            Raw::I64(number) => {
                // Writing into memory does not fail.
                let _ = write!(out, "{number}");
            }
            Raw::Bytes(bytes) => {
                out.extend_from_slice(b"\\\\x");
                hex(bytes, out);
            }
            other => match text(&other) {
                None => out.extend_from_slice(b"\\N"),
                Some(text) => escape(&text, out),
            },
        }
    }
    out.push(b'\n');
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r')) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(match rest[at] {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The fields of a line in COPY's text form; `None` is NULL.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = Option<Cow<'_, [u8]>>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|byte| *byte == b'\t').map(|field| match field {
        b"\\N" => None,
        plain if !plain.contains(&b'\\') => Some(Cow::Borrowed(plain)),
        escaped => Some(Cow::Owned(unescaped(escaped))),
    })
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            }),
            other => out.push(*other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidewater_core::change::Row;

    #[test]
    fn texts_become_values() {
        assert_eq!(Carried::Bool.value(b"t"), Value::I64(1));
        assert_eq!(Carried::Integer.value(b"-9223372036854775808"), Value::I64(i64::MIN));
        assert_eq!(Carried::Float.value(b"1e-320"), Value::F64(1e-320));
        assert_eq!(Carried::Float.value(b"-Infinity"), Value::F64(f64::NEG_INFINITY));
        assert_eq!(Carried::Float.value(b"NaN"), Value::Text("NaN".into()));
        assert_eq!(Carried::Bytes.value(b"\\x00ff"), Value::Bytes(vec![0, 255].into()));
        assert_eq!(Carried::Text.value(b"12.50"), Value::Text("12.50".into()));
        assert_eq!(Carried::Text.value(b"\xff"), Value::RawText(b"\xff"[..].into()));
    }

    proptest! {
        #[test]
        fn lines_come_back(texts in proptest::collection::vec(proptest::option::of("[a\\\\\t\n\r\u{8}N.x é]{0,8}"), 1..5)) {
            let row: Row = texts.iter().map(|t| t.as_ref().map_or(Value::Null, |t| Value::Text(t.as_str().into()))).collect();
            let mut line = Vec::new();
            push_line(row.raw(), &mut line);
            let back: Row = fields(&line)
                .map(|field| field.map_or(Value::Null, |field| Carried::Text.value(&field).into_owned()))
                .collect();
            prop_assert_eq!(back, row);
        }

        #[test]
        fn numbers_come_back(number in any::<f64>().prop_filter("a number", |n| !n.is_nan())) {
            let text = float(number);
            prop_assert_eq!(Carried::Float.value(text.as_bytes()), Value::F64(number));
        }
    }
}

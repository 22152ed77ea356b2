//! Values as JSON, appended to a buffer. What is appended is JSON whatever the value holds.
//!
//! Numbers are numbers only where every reader has them exactly; what is no number, text or truth value in JSON is text
//! in the words of its database, and bytes are base64. Tests: below, read back by another library.

use std::io::Write;
use tidewater_core::change::{Raw, Value};

/// What the value of a column is written as, where the value alone does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// 0 and 1 are truth values.
    Bool,
    /// Bytes are expected: they are a plain base64 text, and a text is marked.
    Bytes,
    /// The value says it; bytes are marked.
    AsItIs,
}

/// The greatest whole number that a reader has exactly whose numbers are all floating point: 2^53 - 1.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Appends a value.
pub(crate) fn value(value: &Raw<'_>, written: Written, out: &mut Vec<u8>) {
    match (value, written) {
        (Raw::Null, _) => out.extend_from_slice(b"null"),
        (Raw::I64(0), Written::Bool) => out.extend_from_slice(b"false"),
        (Raw::I64(1), Written::Bool) => out.extend_from_slice(b"true"),
        (Raw::I64(number), _) => whole(*number, number.unsigned_abs(), out),
        (Raw::F64(number), _) => float(*number, out),
        (Raw::Text(bytes), Written::Bytes) => marked("text", out, |out| utf8_or_bytes(bytes, out)),
        (Raw::Text(bytes), _) => utf8_or_bytes(bytes, out),
        (Raw::Bytes(bytes), Written::Bytes) => base64(bytes, out),
        (Raw::Bytes(bytes), _) => marked("base64", out, |out| base64(bytes, out)),
        (Raw::Other(Value::Bool(is)), _) => append(out, format_args!("{is}")),
        (Raw::Other(Value::U64(number)), _) => whole(*number, *number, out),
        (Raw::Other(other), _) => text(&other.to_string(), out),
    }
}

/// Appends what cannot fail: a buffer takes everything.
pub(crate) fn append(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let _endless = out.write_fmt(arguments);
}

fn whole(number: impl std::fmt::Display, size: u64, out: &mut Vec<u8>) {
    match size <= EXACT_MAX {
        true => append(out, format_args!("{number}")),
        false => append(out, format_args!("\"{number}\"")),
    }
}

/// The shortest form that is read back as the same number. Infinities, which JSON does not have, as text.
fn float(number: f64, out: &mut Vec<u8>) {
    match number {
        _ if number.is_finite() => append(out, format_args!("{number:?}")),
        _ if number.is_nan() => out.extend_from_slice(b"\"NaN\""),
        _ if number > 0.0 => out.extend_from_slice(b"\"Infinity\""),
        _ => out.extend_from_slice(b"\"-Infinity\""),
    }
}

/// An object of one field, which says what kind of value this is.
fn marked(name: &str, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'{');
    text(name, out);
    out.push(b':');
    content(out);
    out.push(b'}');
}

/// What a database calls text. JSON holds no text that is not UTF-8.
fn utf8_or_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(utf8) => text(utf8, out),
        Err(_) => marked("base64", out, |out| base64(bytes, out)),
    }
}

/// Appends a text with its quotes.
///
/// Besides what JSON wants escaped, the two characters that end a line for some readers are.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !IS_SPECIAL[usize::from(*byte)] {
            continue;
        }
        let length = match (byte, bytes.get(at + 1), bytes.get(at + 2)) {
            (0xe2, Some(0x80), Some(0xa8 | 0xa9)) => 3,
            (0xe2, ..) => continue,
            _ => 1,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + length;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xe2 => append(out, format_args!("\\u20{:02x}", bytes[at + 2] - 0x80)),
            control => append(out, format_args!("\\u{control:04x}")),
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// Bytes at which a text may have to be escaped.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    // The first byte of U+2028 and U+2029, and of many others.
    special[0xe2] = true;
    special
};

/// Appends bytes as base64 with its quotes, padded (RFC 4648).
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(bytes.len().div_ceil(3) * 4 + 2);
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
        let padded = |at: usize| if at <= chunk.len() { digit(at) } else { b'=' };
        out.extend_from_slice(&[digit(0), digit(1), padded(2), padded(3)]);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidewater_core::change::{Decimal, Row};

    fn written(one: Value<'_>, written: Written) -> String {
        let row = Row::new([one]);
        let mut out = Vec::new();
        value(&row.raw().next().expect("a value"), written, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn values_are_written_so_that_every_reader_has_them_exactly() {
        let decimal = Value::Decimal(Decimal::parse("12.50").expect("a decimal"));
        for (one, wanted) in [
            (Value::Null, "null"),
            (Value::I64(-7), "-7"),
            (Value::I64(9_007_199_254_740_991), "9007199254740991"),
            (Value::I64(9_007_199_254_740_992), "\"9007199254740992\""),
            (Value::I64(i64::MIN), "\"-9223372036854775808\""),
            (Value::U64(u64::MAX), "\"18446744073709551615\""),
            (Value::F64(0.1), "0.1"),
            (Value::F64(-0.0), "-0.0"),
            (Value::F64(1e300), "1e300"),
            (Value::F64(5e-324), "5e-324"),
            (Value::F64(f64::INFINITY), "\"Infinity\""),
            (Value::F64(f64::NAN), "\"NaN\""),
            (Value::Bool(true), "true"),
            (decimal, "\"12.50\""),
            (Value::Bytes(b"\x00\xff".as_slice().into()), "{\"base64\":\"AP8=\"}"),
            (Value::RawText(b"\xff".as_slice().into()), "{\"base64\":\"/w==\"}"),
            (Value::Json("{\"a\": 1}".into()), "\"{\\\"a\\\": 1}\""),
        ] {
            assert_eq!(written(one.clone(), Written::AsItIs), wanted, "{one:?}");
        }
        let (bool, bytes) = (Written::Bool, Written::Bytes);
        assert_eq!([0, 1, 2].map(|number| written(Value::I64(number), bool)), ["false", "true", "2"]);
        assert_eq!(written(Value::Bytes(b"abc".as_slice().into()), bytes), "\"YWJj\"");
        assert_eq!(written(Value::Text("abc".into()), bytes), "{\"text\":\"abc\"}");
    }

    #[test]
    fn whatever_a_text_holds_it_is_one_line_that_is_read_back_as_it_was() {
        let all: String = (0..=0x11_0000).filter_map(char::from_u32).collect();
        for one in
            ["", "plain", "\0\u{1}\u{1f}\u{7f}\"\\/\n\r\t", "\u{2027}\u{2028}\u{2029}\u{202a}é漢🌊", "\u{feff}", &all]
        {
            let line = written(Value::Text(one.into()), Written::AsItIs);
            let ends = |c: char| c < ' ' || c == '\u{2028}' || c == '\u{2029}';
            assert!(!line.contains(ends), "{} characters on one line", one.len());
            assert_eq!(serde_json::from_str::<String>(&line).expect("JSON"), one);
        }
    }

    #[test]
    fn floating_point_numbers_come_back_to_the_bit() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let line = written(Value::F64(number), Written::AsItIs);
                serde_json::from_str::<f64>(&line).expect("JSON");
                assert_eq!(line.parse::<f64>().expect("a number").to_bits(), bits, "{line}");
            }
        }
    }
}

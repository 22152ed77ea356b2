//! Typed values. One enum for borrowed and owned values, so that a row can be read without copying it.

use std::borrow::Cow;
use std::fmt;

/// One value of one column. Lifetimes: `Value<'static>` owns its contents.
///
/// Units: dates in days since 1970-01-01, times in microseconds since midnight, timestamps in microseconds since
/// 1970-01-01 (the ends of `i64` are minus and plus infinity, as those of `i32` are for dates).
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// Not carried by this change: the target keeps what it has. Never a content of a row at rest.
    Unchanged,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer. Where it fits [`Value::I64`], the encoding is that of `I64`.
    U64(u64),
    /// A binary floating point number; every NaN is the same NaN.
    F64(f64),
    /// An exact decimal of any precision; its scale is part of it (`1.50` is not `1.5`).
    Decimal(Decimal<'a>),
    /// Text.
    Text(Cow<'a, str>),
    /// What its database calls text, though it is not valid UTF-8.
    RawText(Cow<'a, [u8]>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A calendar day.
    Date(i32),
    /// A time of day.
    Time(i64),
    /// A timestamp without a zone.
    Timestamp(i64),
    /// A point in time.
    TimestampTz(i64),
    /// A calendar interval; the three parts are independent.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Microseconds.
        micros: i64,
    },
    /// A UUID.
    Uuid([u8; 16]),
    /// JSON, as text.
    Json(Cow<'a, str>),
    /// An array; nested arrays are arrays of arrays.
    Array(Vec<Value<'a>>),
}

impl Value<'_> {
    /// A copy that owns its contents.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Unchanged => Value::Unchanged,
            Value::Bool(v) => Value::Bool(v),
            Value::I64(v) => Value::I64(v),
            Value::U64(v) => Value::U64(v),
            Value::F64(v) => Value::F64(v),
            Value::Decimal(v) => Value::Decimal(Decimal(Cow::Owned(v.0.into_owned()))),
            Value::Text(v) => Value::Text(Cow::Owned(v.into_owned())),
            Value::RawText(v) => Value::RawText(Cow::Owned(v.into_owned())),
            Value::Bytes(v) => Value::Bytes(Cow::Owned(v.into_owned())),
            Value::Date(v) => Value::Date(v),
            Value::Time(v) => Value::Time(v),
            Value::Timestamp(v) => Value::Timestamp(v),
            Value::TimestampTz(v) => Value::TimestampTz(v),
            Value::Interval { months, days, micros } => Value::Interval { months, days, micros },
            Value::Uuid(v) => Value::Uuid(v),
            Value::Json(v) => Value::Json(Cow::Owned(v.into_owned())),
            Value::Array(v) => Value::Array(v.into_iter().map(Value::into_owned).collect()),
        }
    }
}

impl fmt::Display for Value<'_> {
    /// For people: keys in `verify` and `status`. Long contents are cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Unchanged => f.write_str("(unchanged)"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::I64(v) => write!(f, "{v}"),
            Value::U64(v) => write!(f, "{v}"),
            Value::F64(v) => write!(f, "{v:?}"),
            Value::Decimal(v) => f.write_str(v.as_str()),
            Value::Text(v) | Value::Json(v) => quoted(f, v),
            Value::RawText(v) => quoted(f, &String::from_utf8_lossy(v)),
            Value::Bytes(v) => {
                let shown: String = v.iter().take(16).map(|b| format!("{b:02x}")).collect();
                write!(f, "x'{shown}{}'", if v.len() > 16 { "…" } else { "" })
            }
            Value::Date(v) => write!(f, "day {v}"),
            Value::Time(v) | Value::Timestamp(v) | Value::TimestampTz(v) => write!(f, "{v} µs"),
            Value::Interval { months, days, micros } => write!(f, "{months} months {days} days {micros} µs"),
            Value::Uuid(v) => {
                for (at, byte) in v.iter().enumerate() {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
            Value::Array(v) => {
                let shown: Vec<String> = v.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", shown.join(", "))
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    const SHOWN_MAX: usize = 60;
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    write!(f, "'{}{more}'", cut.escape_debug())
}

/// An exact decimal in canonical text: `-12.340`, `0`, `NaN`, `Infinity`, `-Infinity`. No plus sign, no exponent,
/// no leading zero but one before the point, no minus before a zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal<'a>(Cow<'a, str>);

impl<'a> Decimal<'a> {
    /// Reads a decimal as databases write it, exponents included. `None` if it is not one, or if its exponent
    /// would make it longer than [`Decimal::DIGITS_MAX`] digits.
    pub fn parse(text: &str) -> Option<Decimal<'static>> {
        let named = match text.to_ascii_lowercase().as_str() {
            "nan" => Some("NaN"),
            "inf" | "infinity" | "+inf" | "+infinity" => Some("Infinity"),
            "-inf" | "-infinity" => Some("-Infinity"),
            _ => None,
        };
        if let Some(name) = named {
            return Some(Decimal(Cow::Borrowed(name)));
        }
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
        Self::place(negative, &digits, point)
    }

    /// More digits than any database keeps: PostgreSQL has 131072 before the point and 16383 after it.
    pub const DIGITS_MAX: usize = 150_000;

    fn place(negative: bool, digits: &str, point: i64) -> Option<Decimal<'static>> {
        // As many digits as will be written: zeros before and behind count.
        let max = i64::try_from(Self::DIGITS_MAX).ok()?;
        let length = i64::try_from(digits.len()).ok()?;
        let whole = point.max(1);
        let fraction = length.checked_sub(point)?.max(0);
        if whole.checked_add(fraction)? > max {
            return None;
        }
        let (whole, fraction) = if point <= 0 {
            (String::new(), format!("{}{digits}", "0".repeat(usize::try_from(-point).ok()?)))
        } else {
            let point = usize::try_from(point).ok()?;
            match digits.len().checked_sub(point) {
                Some(_) => (digits[..point].to_owned(), digits[point..].to_owned()),
                None => (format!("{digits}{}", "0".repeat(point - digits.len())), String::new()),
            }
        };
        let whole = whole.trim_start_matches('0');
        let zero = whole.is_empty() && fraction.bytes().all(|b| b == b'0');
        let sign = if negative && !zero { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        let dot = if fraction.is_empty() { "" } else { "." };
        Some(Decimal(Cow::Owned(format!("{sign}{whole}{dot}{fraction}"))))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes text that must be canonical already; `None` where it is not.
    pub fn from_canonical(text: &'a str) -> Option<Self> {
        let parsed = Decimal::parse(text)?;
        (parsed.0 == text).then_some(Decimal(Cow::Borrowed(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_one_canonical_text() {
        for (given, canonical) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("+007.50", "7.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.25E-3", "0.00125"),
            ("12.5e1", "125"),
            ("-12.5e2", "-1250"),
            ("nan", "NaN"),
            ("-inf", "-Infinity"),
            ("123456789012345678901234567890.12", "123456789012345678901234567890.12"),
        ] {
            assert_eq!(Decimal::parse(given).unwrap().as_str(), canonical, "{given}");
        }
        for bad in ["", "-", ".", "1.2.3", "1e", "abc", "1e999999999", "٣", "--1"] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
        assert!(Decimal::from_canonical("7.50").is_some());
        assert!(Decimal::from_canonical("07.50").is_none());
    }
}

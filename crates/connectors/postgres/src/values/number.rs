//! Numbers and bytes: what the server writes for them, and its binary form of `numeric`.

use std::fmt::Write;
use tidewater_core::change::Decimal;

/// Digits of a `numeric` go by fours.
const BASE_DIGITS: usize = 4;
/// What the server keeps behind the point at most.
const SCALE_MAX: usize = 16_383;

mod sign {
    pub(super) const PLUS: u16 = 0x0000;
    pub(super) const MINUS: u16 = 0x4000;
    pub(super) const NAN: u16 = 0xC000;
    pub(super) const INFINITY: u16 = 0xD000;
    pub(super) const MINUS_INFINITY: u16 = 0xF000;
}

/// Reads a `float8` as the server writes it.
pub(super) fn float8(text: &str) -> Option<f64> {
    float(text)
}

/// Reads a `float4` as the server writes it: rounded once, not first to a longer one.
pub(super) fn float4(text: &str) -> Option<f32> {
    float(text)
}

/// Rust reads infinity and NaN in more spellings than the server writes.
fn float<F: std::str::FromStr>(text: &str) -> Option<F> {
    let is_word = ["NaN", "Infinity", "-Infinity"].contains(&text);
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if is_word || is_number { text.parse().ok() } else { None }
}

/// A `float8` as the server writes it: the shortest digits that come back the same.
pub(super) fn float8_text(v: f64) -> String {
    let digits = digits(v, [v.next_down(), v.next_up()], |decimals| format!("{v:.decimals$e}"), &format!("{v:e}"));
    float_text(v, 15, &digits)
}

/// A `float4` as the server writes it.
pub(super) fn float4_text(v: f32) -> String {
    let neighbours = [v.next_down().into(), v.next_up().into()];
    let digits = digits(v.into(), neighbours, |decimals| format!("{v:.decimals$e}"), &format!("{v:e}"));
    float_text(v.into(), 6, &digits)
}

/// Digits as the server chooses them. They differ from Rust's `shortest` in two ways: of two that are as near, the
/// even one is taken, as `rounded` does; and what lies in the very middle between two floats stands for neither.
fn digits(v: f64, neighbours: [f64; 2], rounded: impl Fn(usize) -> String, shortest: &str) -> String {
    const DECIMALS_MAX: usize = 17;
    let (mantissa, _) = shortest.split_once('e').unwrap_or((shortest, ""));
    let least = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let is_in_the_middle = |text: &str| neighbours.iter().any(|other| is_middle(text, v, *other));
    let found = (least..=DECIMALS_MAX).map(rounded).find(|text| !is_in_the_middle(text));
    found.unwrap_or_else(|| shortest.to_owned())
}

/// Whether a decimal is exactly in the middle between two floats. Then it has few digits and they have many bits, so
/// that four times each is a whole number.
fn is_middle(text: &str, one: f64, other: f64) -> bool {
    let whole = |v: f64| (v.abs() < 1e37 && (v * 2.0).fract() == 0.0).then_some((v.abs() * 2.0) as u128);
    let middle = whole(one).zip(whole(other)).map(|(one, other)| one + other);
    middle.is_some() && middle == four_times(text)
}

/// Four times a decimal like `-1.5e-1`, without its sign, where that is a whole number that is not too long.
fn four_times(text: &str) -> Option<u128> {
    let (mantissa, exponent) = text.split_once('e')?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let decimals = i32::try_from(digits.len()).ok()? - 1;
    let power: i32 = exponent.parse::<i32>().ok()? - decimals;
    let number = digits.parse::<u128>().ok()?.checked_mul(4)?;
    let factor = 10u128.checked_pow(power.unsigned_abs())?;
    if power >= 0 { number.checked_mul(factor) } else { (number % factor == 0).then_some(number / factor) }
}

/// `digits` are in Rust's words: `-1.5e-7`. From `digits_max` on an exponent is written.
fn float_text(v: f64, digits_max: i32, digits: &str) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    if !(-4..digits_max).contains(&exponent) {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{direction}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0)));
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// Reads the binary form of `numeric`: number of digit groups, place of the first, sign, scale, groups.
pub(super) fn numeric_from_binary(bytes: &[u8]) -> Option<Decimal<'static>> {
    let (words, []) = bytes.as_chunks::<2>() else { return None };
    let (header, groups) = words.split_first_chunk::<4>()?;
    let [count, weight, sign, scale] = header.map(u16::from_be_bytes);
    if usize::from(count) != groups.len() {
        return None;
    }
    match sign {
        sign::NAN => return Decimal::parse("NaN"),
        sign::INFINITY => return Decimal::parse("Infinity"),
        sign::MINUS_INFINITY => return Decimal::parse("-Infinity"),
        sign::PLUS | sign::MINUS => {}
        _ => return None,
    }
    let (weight, scale) = (i32::from(weight.cast_signed()), usize::from(scale));
    if scale > SCALE_MAX {
        return None;
    }
    let group = |place: i32| {
        let at = usize::try_from(weight - place).ok().and_then(|at| groups.get(at));
        at.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    };
    if groups.iter().any(|bytes| u16::from_be_bytes(*bytes) > 9999) {
        return None;
    }
    let mut text = String::from(if sign == sign::MINUS { "-" } else { "" });
    (0..=weight.max(0)).rev().try_for_each(|place| write!(text, "{:04}", group(place))).ok()?;
    let mut fraction = String::new();
    let last = i32::try_from(scale.div_ceil(BASE_DIGITS)).ok()?;
    (1..=last).try_for_each(|place| write!(fraction, "{:04}", group(-place))).ok()?;
    // Digits that the scale leaves out would be lost.
    let lowest = weight - i32::from(count) + 1;
    if count > 0 && (lowest < -last || fraction.bytes().skip(scale).any(|digit| digit != b'0')) {
        return None;
    }
    fraction.truncate(scale);
    if scale > 0 {
        text.push('.');
        text.push_str(&fraction);
    }
    Decimal::parse(&text)
}

/// Appends the binary form of `numeric`. Nothing where it is beyond what the server keeps.
pub(super) fn numeric_to_binary(v: &Decimal<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut put = |words: &[u16]| {
        words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        Some(())
    };
    let text = match v.as_str() {
        "NaN" => return put(&[0, 0, sign::NAN, 0]),
        "Infinity" => return put(&[0, 0, sign::INFINITY, 0]),
        "-Infinity" => return put(&[0, 0, sign::MINUS_INFINITY, 0]),
        text => text,
    };
    let (sign, text) = text.strip_prefix('-').map_or((sign::PLUS, text), |rest| (sign::MINUS, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = fraction.len();
    if scale > SCALE_MAX {
        return None;
    }
    let padding = |length: usize| "0".repeat(length.next_multiple_of(BASE_DIGITS) - length);
    let digits = format!("{}{whole}{fraction}{}", padding(whole.len()), padding(scale));
    let group = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let groups: Vec<u16> = digits.as_bytes().chunks(BASE_DIGITS).map(group).collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let scale = u16::try_from(scale).ok()?;
    if leading == groups.len() {
        return put(&[0, 0, sign::PLUS, scale]);
    }
    let weight = i64::try_from(whole.len().div_ceil(BASE_DIGITS)).ok()? - 1 - i64::try_from(leading).ok()?;
    let weight = i16::try_from(weight).ok()?.cast_unsigned();
    let kept = &groups[leading..groups.len() - trailing];
    put(&[u16::try_from(kept.len()).ok()?, weight, sign, scale])?;
    put(kept)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|at| char::from(DIGITS[usize::from(at)])).collect()
}

/// Bytes from an even number of hexadecimal digits.
pub(super) fn unhex(digits: Option<&str>) -> Option<Vec<u8>> {
    let (pairs, []) = digits?.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()).collect()
}

pub(super) fn uuid_text(bytes: &[u8; 16]) -> String {
    let digits = hex(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if lengths != [8, 4, 4, 4, 12] {
        return None;
    }
    unhex(Some(&parts.concat()))?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_the_server_does() {
        for (v, wanted) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1.25e-310, "1.25e-310"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float8_text(v), wanted);
            assert!(float8(wanted).is_some_and(|back| back.to_bits() == v.to_bits() || v.is_nan()), "{wanted}");
        }
        let given = ["3213721.25", "53924912", "-479238016", "0.1"];
        let chosen = given.map(|text| float4_text(text.parse().unwrap()));
        assert_eq!(chosen, ["3.2137212e+06", "5.3924912e+07", "-4.7923802e+08", "0.1"]);
        let chosen = [1e23, 9_007_199_254_740_992.0, 5e-324, 0.1 + 0.2].map(float8_text);
        assert_eq!(chosen, ["9.999999999999999e+22", "9.007199254740992e+15", "5e-324", "0.30000000000000004"]);
        assert_eq!((float4_text(123_456.0).as_str(), float4_text(1e6).as_str()), ("123456", "1e+06"));
        assert!(["", "inf", "nan", "infinity", "0x1", "1_0"].iter().all(|text| float8(text).is_none()));
    }

    #[test]
    fn numerics_lie_in_bytes_as_the_server_has_them() {
        for (text, words) in [
            ("0", &[0, 0, 0, 0][..]),
            ("0.00", &[0, 0, 0, 2]),
            ("1", &[1, 0, 0, 0, 1]),
            ("-12345.678", &[3, 1, 0x4000, 3, 1, 2345, 6780]),
            ("0.00001234", &[2, 0xFFFE, 0, 8, 0, 0][..0]),
            ("100000000", &[1, 2, 0, 0, 1]),
            ("0.0001", &[1, 0xFFFF, 0, 4, 1]),
            ("NaN", &[0, 0, 0xC000, 0]),
        ] {
            let mut bytes = Vec::new();
            numeric_to_binary(&Decimal::parse(text).unwrap(), &mut bytes).unwrap();
            assert_eq!(numeric_from_binary(&bytes).unwrap().as_str(), text);
            let found: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            assert!(words.is_empty() || found == words, "{text}: {found:?}");
        }
        let binary =
            |words: &[u16]| numeric_from_binary(&words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>());
        for wrong in [
            &[][..],
            &[1, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[1, 0, 0, 0, 10_000],
            &[0, 0, 1, 0],
            &[0, 0, 0, 16_384],
            &[1, 0xFFFF, 0, 0, 1],
            &[1, 0xFFFF, 0, 3, 1],
            &[1, 0x8000, 0, 4, 1],
        ] {
            assert_eq!(binary(wrong), None, "{wrong:?}");
        }
        assert_eq!(numeric_from_binary(&[0; 7]), None);
    }
}

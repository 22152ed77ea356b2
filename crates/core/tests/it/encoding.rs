//! The canonical encoding: golden files, and the properties that make "equal rows are equal bytes" true.

use crate::given::rounds;
use proptest::collection::vec;
use proptest::prelude::*;
use std::borrow::Cow;
use std::fmt::Write;
use tidewater_core::change::{
    Decimal, DecodeError, RangeHash, Raw, Row, RowBuilder, RowHash, Value, decode_value, encode_value,
};

const GOLDEN_VALUES: &str = include_str!("golden/values.txt");
const GOLDEN_ROWS: &str = include_str!("golden/rows.txt");

fn encoded(value: &Value<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_value(value, &mut bytes);
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|c| u8::try_from(c.to_digit(16).expect("a hexadecimal digit")).expect("a digit")).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn decimal(text: &str) -> Value<'static> {
    Value::Decimal(Decimal::parse(text).expect("a decimal"))
}

fn text(text: &str) -> Value<'static> {
    Value::Text(Cow::Owned(text.to_owned()))
}

fn raw(bytes: &[u8]) -> Value<'static> {
    Value::RawText(Cow::Owned(bytes.to_vec()))
}

fn blob(bytes: &[u8]) -> Value<'static> {
    Value::Bytes(Cow::Owned(bytes.to_vec()))
}

fn json(text: &str) -> Value<'static> {
    Value::Json(Cow::Owned(text.to_owned()))
}

/// `depth` arrays around nothing: 1 is an empty array.
fn nested(depth: usize) -> Value<'static> {
    (1..depth).fold(Value::Array(vec![]), |inner, _| Value::Array(vec![inner]))
}

/// The form of a value that comes back from its encoding.
fn canonical(value: &Value<'_>) -> Value<'static> {
    match value.clone().into_owned() {
        Value::U64(v) => i64::try_from(v).map_or(Value::U64(v), Value::I64),
        Value::F64(v) if v.is_nan() => Value::F64(f64::NAN),
        Value::RawText(v) => match String::from_utf8(v.to_vec()) {
            Ok(valid) => Value::Text(Cow::Owned(valid)),
            Err(_) => Value::RawText(v),
        },
        Value::Array(values) => Value::Array(values.iter().map(canonical).collect()),
        other => other,
    }
}

/// Equality to the bit: a NaN is itself, and zero is not minus zero.
fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

type Golden = (&'static str, &'static str, Value<'static>);

fn golden_integers() -> Vec<Golden> {
    vec![
        ("null", "NULL", Value::Null),
        ("unchanged", "unchanged: the target keeps what it has", Value::Unchanged),
        ("bool_false", "false", Value::Bool(false)),
        ("bool_true", "true", Value::Bool(true)),
        ("i64_zero", "integer 0", Value::I64(0)),
        ("i64_minus_one", "integer -1", Value::I64(-1)),
        ("i64_one", "integer 1", Value::I64(1)),
        ("i64_63", "integer 63, the last of one byte", Value::I64(63)),
        ("i64_64", "integer 64, the first of two bytes", Value::I64(64)),
        ("i64_minus_64", "integer -64, the last of one byte", Value::I64(-64)),
        ("i64_minus_65", "integer -65, the first of two bytes", Value::I64(-65)),
        ("i64_max", "integer 9223372036854775807", Value::I64(i64::MAX)),
        ("i64_min", "integer -9223372036854775808", Value::I64(i64::MIN)),
        ("u64_that_fits", "unsigned 1, which is integer 1", Value::U64(1)),
        ("u64_i64_max", "unsigned 9223372036854775807, which is the integer", Value::U64(i64::MAX as u64)),
        ("u64_beyond_i64", "unsigned 9223372036854775808", Value::U64(1 << 63)),
        ("u64_max", "unsigned 18446744073709551615", Value::U64(u64::MAX)),
    ]
}

fn golden_numbers() -> Vec<Golden> {
    vec![
        ("f64_zero", "float 0.0", Value::F64(0.0)),
        ("f64_minus_zero", "float -0.0, which is not 0.0", Value::F64(-0.0)),
        ("f64_one_and_a_half", "float 1.5", Value::F64(1.5)),
        ("f64_tenth", "float 0.1", Value::F64(0.1)),
        ("f64_max", "float 1.7976931348623157e308", Value::F64(f64::MAX)),
        ("f64_subnormal_min", "float 5e-324, the smallest subnormal", Value::F64(f64::from_bits(1))),
        ("f64_subnormal_max", "float of bits 000fffffffffffff", Value::F64(f64::from_bits(0x000f_ffff_ffff_ffff))),
        ("f64_infinity", "float infinity", Value::F64(f64::INFINITY)),
        ("f64_minus_infinity", "float -infinity", Value::F64(f64::NEG_INFINITY)),
        ("f64_nan", "float NaN", Value::F64(f64::NAN)),
        ("f64_nan_negative", "NaN of bits fff8000000000000", Value::F64(f64::from_bits(0xfff8_0000_0000_0000))),
        ("f64_nan_signalling", "NaN of bits 7ff0000000000001", Value::F64(f64::from_bits(0x7ff0_0000_0000_0001))),
        ("decimal_zero", "decimal 0", decimal("0")),
        ("decimal_zero_scale_2", "decimal 0.00, which is not 0", decimal("0.00")),
        ("decimal_minus_zero", "decimal -0, which is 0", decimal("-0")),
        ("decimal_scale_1", "decimal 1.5", decimal("1.5")),
        ("decimal_scale_2", "decimal 1.50, which is not 1.5", decimal("1.50")),
        ("decimal_negative", "decimal -12.340", decimal("-12.340")),
        ("decimal_small", "decimal 1.25E-3, which is 0.00125", decimal("1.25E-3")),
        ("decimal_large", "decimal 1e20", decimal("1e20")),
        ("decimal_nan", "decimal NaN", decimal("nan")),
        ("decimal_infinity", "decimal Infinity", decimal("inf")),
        ("decimal_minus_infinity", "decimal -Infinity", decimal("-inf")),
    ]
}

fn golden_texts() -> Vec<Golden> {
    vec![
        ("text_empty", "text of no characters, which is not NULL", text("")),
        ("text_ascii", "text abc", text("abc")),
        ("text_umlaut", "text é, composed", text("é")),
        ("text_decomposed", "text e followed by U+0301, which is not é", text("e\u{301}")),
        ("text_astral", "text U+1F30A", text("\u{1f30a}")),
        ("text_nul", "text a, NUL, b", text("a\0b")),
        ("text_127", "text of 127 x, a length of one byte", text(&"x".repeat(127))),
        ("text_128", "text of 128 x, a length of two bytes", text(&"x".repeat(128))),
        ("raw_text_latin1", "text of bytes 63 61 66 e9, not UTF-8", raw(b"caf\xe9")),
        ("raw_text_surrogate", "text of bytes ed a0 80, not UTF-8", raw(b"\xed\xa0\x80")),
        ("raw_text_valid", "text of bytes 61 62 63, which is text abc", raw(b"abc")),
        ("raw_text_empty", "text of no bytes, which is the empty text", raw(b"")),
        ("bytes_empty", "no bytes, which is not the empty text", blob(b"")),
        ("bytes_abc", "bytes 61 62 63, which is not text abc", blob(b"abc")),
        ("bytes_any", "bytes 00 7f 80 ff", blob(b"\x00\x7f\x80\xff")),
        ("json_object", r#"JSON {"a": 1}, as it is written"#, json(r#"{"a": 1}"#)),
        ("json_null", "JSON null, which is not NULL", json("null")),
    ]
}

fn golden_times_and_others() -> Vec<Golden> {
    let interval = |months, days, micros| Value::Interval { months, days, micros };
    let uuid = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
    let mixed = Value::Array(vec![Value::I64(1), Value::Null, text("a")]);
    let square = Value::Array(vec![
        Value::Array(vec![Value::I64(1), Value::I64(2)]),
        Value::Array(vec![Value::I64(3), Value::I64(4)]),
    ]);
    vec![
        ("date_epoch", "date 1970-01-01", Value::Date(0)),
        ("date_2026", "date 2026-01-01, day 20454", Value::Date(20_454)),
        ("date_before", "date 1969-12-31, day -1", Value::Date(-1)),
        ("date_min", "date, day -2147483648", Value::Date(i32::MIN)),
        ("date_max", "date, day 2147483647", Value::Date(i32::MAX)),
        ("time_midnight", "time 00:00:00", Value::Time(0)),
        ("time_last", "time 23:59:59.999999", Value::Time(86_399_999_999)),
        ("time_24", "time 24:00:00", Value::Time(86_400_000_000)),
        ("timestamp_epoch", "timestamp 1970-01-01 00:00:00", Value::Timestamp(0)),
        ("timestamp_2026", "timestamp 2026-01-01 00:00:00", Value::Timestamp(1_767_225_600_000_000)),
        ("timestamp_before", "timestamp 1969-12-31 23:59:59.999999", Value::Timestamp(-1)),
        ("timestamp_infinity", "timestamp infinity", Value::Timestamp(i64::MAX)),
        ("timestamp_minus_infinity", "timestamp -infinity", Value::Timestamp(i64::MIN)),
        ("timestamptz_2026", "timestamp 2026-01-01 00:00:00Z", Value::TimestampTz(1_767_225_600_000_000)),
        ("timestamptz_infinity", "timestamp with zone infinity", Value::TimestampTz(i64::MAX)),
        ("timestamptz_minus_infinity", "timestamp with zone -infinity", Value::TimestampTz(i64::MIN)),
        ("interval_zero", "interval of nothing", interval(0, 0, 0)),
        ("interval_mixed", "interval 14 months -3 days 4000000 µs", interval(14, -3, 4_000_000)),
        ("interval_month", "interval 1 month, which is not 30 days", interval(1, 0, 0)),
        ("interval_30_days", "interval 30 days", interval(0, 30, 0)),
        ("interval_min", "interval of the least parts", interval(i32::MIN, i32::MIN, i64::MIN)),
        ("uuid", "UUID 00112233-4455-6677-8899-aabbccddeeff", Value::Uuid(uuid)),
        ("array_empty", "array of nothing", Value::Array(vec![])),
        ("array_mixed", "array of 1, NULL, text a", mixed),
        ("array_nested", "array of (array of 1, 2), (array of 3, 4)", square),
        ("array_deepest", "16 arrays around nothing, the deepest allowed", nested(16)),
    ]
}

fn golden_values() -> Vec<Golden> {
    [golden_integers(), golden_numbers(), golden_texts(), golden_times_and_others()].concat()
}

fn golden_rows() -> Vec<(&'static str, &'static str, Row)> {
    let order = [Value::I64(7), text("Ahoi"), decimal("19.90"), Value::Null, Value::TimestampTz(1_767_225_600_000_000)];
    vec![
        ("no_columns", "nothing", Row::new([])),
        ("key_one", "1", Row::new([Value::I64(1)])),
        ("key_two", "'de', 7", Row::new([text("de"), Value::I64(7)])),
        ("order", "7, 'Ahoi', 19.90, NULL, 2026-01-01 00:00:00Z", Row::new(order)),
        ("only_null", "NULL", Row::new([Value::Null])),
        ("two_nulls", "NULL, NULL", Row::new([Value::Null, Value::Null])),
        ("split_early", "'a', 'bc'", Row::new([text("a"), text("bc")])),
        ("split_late", "'ab', 'c'", Row::new([text("ab"), text("c")])),
        ("update", "7, unchanged, 21.00", Row::new([Value::I64(7), Value::Unchanged, decimal("21.00")])),
    ]
}

fn hash_hex(hash: u128) -> String {
    hex(&hash.to_le_bytes())
}

#[track_caller]
pub(crate) fn holds(file: &str, golden: &str, computed: &str) {
    assert!(
        golden == computed,
        "golden/{file} is not what the code writes. Stored keys and hashes would mean something else. If that is \
         wanted, it is a new format; the file would be:\n{computed}"
    );
}

#[test]
fn values_are_encoded_as_in_the_golden_file() {
    let mut computed = String::from("# name | value | encoding\n");
    for (name, shown, value) in golden_values() {
        writeln!(computed, "{name} | {shown} | {}", hex(&encoded(&value))).expect("writing to a string");
    }
    holds("values.txt", GOLDEN_VALUES, &computed);
}

#[test]
fn the_golden_file_reads_back_as_its_values() {
    let lines = GOLDEN_VALUES.lines().filter(|line| !line.starts_with('#'));
    for (line, (name, _, value)) in lines.zip(golden_values()) {
        let bytes = unhex(line.rsplit(" | ").next().expect("three fields"));
        let mut rest = &bytes[..];
        let decoded = decode_value(&mut rest).expect(name);
        assert!(rest.is_empty() && same(&decoded, &canonical(&value)), "{name}: {decoded:?}");
    }
}

#[test]
fn rows_are_encoded_and_hashed_as_in_the_golden_file() {
    let mut computed = String::from("# name | values | encoding | hash\n");
    let mut range = RangeHash::default();
    for (name, shown, row) in golden_rows() {
        let hash = row.hash();
        range.add(hash);
        writeln!(computed, "{name} | {shown} | {} | {}", hex(row.as_bytes()), hash_hex(hash.0)).expect("to a string");
    }
    writeln!(computed, "# the range of all of them: rows | hash").expect("writing to a string");
    writeln!(computed, "{} | {}", range.rows, hash_hex(range.sum)).expect("writing to a string");
    holds("rows.txt", GOLDEN_ROWS, &computed);
}

#[test]
fn arrays_nested_too_deep_are_refused() {
    let refused = |bytes: &[u8]| decode_value(&mut &bytes[..]).err();
    assert_eq!(refused(&encoded(&nested(16))), None);
    assert_eq!(refused(&encoded(&nested(17))), Some(DecodeError::Depth));
    assert_eq!(refused(&[18, 1].repeat(100_000)), Some(DecodeError::Depth));
}

#[test]
fn a_count_that_lies_costs_nothing() {
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for tag in [8, 9, 10, 17, 18, 7] {
        let bytes = [&[tag][..], &most].concat();
        assert_eq!(decode_value(&mut &bytes[..]).err(), Some(DecodeError::Truncated), "tag {tag}");
    }
}

/// Reading back is the whole of the claim: what decodes encodes to the same bytes.
fn is_canonical_or_refused(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    let Ok(value) = decode_value(&mut rest) else { return Ok(()) };
    let read = &bytes[..bytes.len() - rest.len()];
    if encoded(&value) == read { Ok(()) } else { Err(format!("{} reads as {value:?}", hex(read))) }
}

#[test]
fn every_short_string_of_bytes_is_canonical_or_refused() {
    for first in 0..=255 {
        for second in 0..=255 {
            is_canonical_or_refused(&[first, second]).expect("canonical");
            // One byte more for tags that exist.
            let thirds = if first <= 19 { 0..=255 } else { 0..=0 };
            for third in thirds {
                is_canonical_or_refused(&[first, second, third]).expect("canonical");
            }
        }
    }
}

/// What databases or a broker may write for a decimal, exponents at the limits included.
fn decimal_text() -> impl Strategy<Value = String> {
    let exponent = prop_oneof![
        4 => Just(String::new()),
        2 => (-30..30i32).prop_map(|e| format!("e{e}")),
        1 => (0..40i32, any::<bool>()).prop_map(|(e, minus)| format!("E{}{}", if minus { "-" } else { "+" }, 150_000 - e)),
    ];
    ("[+-]?", "[0-9]{0,12}", "(\\.[0-9]{0,12})?", exponent).prop_map(|(s, w, f, e)| format!("{s}{w}{f}{e}"))
}

fn any_leaf() -> impl Strategy<Value = Value<'static>> {
    let plain = prop_oneof![
        Just(Value::Null),
        Just(Value::Unchanged),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        any::<f64>().prop_map(Value::F64),
        ("-?[0-9]{1,30}(\\.[0-9]{1,30})?").prop_map(|text| decimal(&text)),
        (any::<i32>(), any::<i32>(), any::<i64>()).prop_map(|(months, days, micros)| Value::Interval {
            months,
            days,
            micros
        }),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ];
    let times = prop_oneof![
        any::<i32>().prop_map(Value::Date),
        any::<i64>().prop_map(Value::Time),
        any::<i64>().prop_map(Value::Timestamp),
        any::<i64>().prop_map(Value::TimestampTz),
    ];
    let contents = prop_oneof![
        any::<String>().prop_map(|text| Value::Text(text.into())),
        any::<String>().prop_map(|text| Value::Json(text.into())),
        vec(any::<u8>(), 0..200).prop_map(|bytes| Value::Bytes(bytes.into())),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::RawText(bytes.into())),
    ];
    // Those that are arrays already could be nested too deep.
    let flat: Vec<Golden> = golden_values().into_iter().filter(|(_, _, v)| !matches!(v, Value::Array(_))).collect();
    let golden = proptest::sample::select(flat).prop_map(|(_, _, value)| value);
    prop_oneof![plain, times, contents, golden, few_values()]
}

/// Values of a small world, so that two of them are often equal, or nearly so.
fn few_values() -> impl Strategy<Value = Value<'static>> {
    (0..12u8, 0..3u8).prop_map(|(kind, n)| {
        let small = i64::from(n) - 1;
        let short = "a".repeat(usize::from(n));
        match kind {
            0 => Value::I64(small),
            1 => Value::U64(u64::from(n)),
            2 => Value::F64([0.0, -0.0, f64::NAN][usize::from(n)]),
            3 => decimal(&small.to_string()),
            4 => Value::Text(short.into()),
            5 => Value::RawText(short.into_bytes().into()),
            6 => Value::Bytes(short.into_bytes().into()),
            7 => Value::Json(short.into()),
            8 => Value::Date(i32::from(n)),
            9 => Value::Time(small),
            10 => Value::Timestamp(small),
            _ => Value::TimestampTz(small),
        }
    })
}

fn nest<S: Strategy<Value = Value<'static>> + 'static>(leaf: S) -> impl Strategy<Value = Value<'static>> {
    leaf.prop_recursive(4, 24, 4, |inner| vec(inner, 0..4).prop_map(Value::Array))
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    nest(any_leaf())
}

fn pair() -> impl Strategy<Value = (Value<'static>, Value<'static>)> {
    prop_oneof![
        (any_value(), any_value()),
        (nest(few_values()), nest(few_values())),
        (few_values(), few_values()),
        any_value().prop_map(|value| (value.clone(), canonical(&value))),
    ]
}

/// An encoding with a few bytes changed, put in or taken out.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..4u8, any::<proptest::sample::Index>(), prop_oneof![any::<u8>(), 0..20u8]);
    (any_value(), vec(edit, 1..4)).prop_map(|(value, edits)| {
        let mut bytes = encoded(&value);
        for (kind, at, byte) in edits {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(rounds() * 5))]

    #[test]
    fn what_is_encoded_comes_back(value in any_value()) {
        let bytes = encoded(&value);
        let mut rest = &bytes[..];
        let decoded = decode_value(&mut rest);
        prop_assert!(rest.is_empty());
        prop_assert!(decoded.as_ref().is_ok_and(|d| same(d, &canonical(&value))), "{decoded:?}");
    }

    #[test]
    fn a_row_has_what_is_picked_from_it(values in vec(any_value(), 1..6), one in any::<usize>(), other in any::<usize>()) {
        let (one, other) = (one % values.len(), other % values.len());
        let row = Row::new(values.iter().cloned());
        for columns in [vec![one], vec![other, one]] {
            let picked = row.pick(&columns);
            prop_assert_eq!(&picked, &Row::new(columns.iter().map(|at| values[*at].clone())));
            prop_assert!(row.has(&columns, &picked));
        }
        prop_assert_eq!(row.has(&[one], &row.pick(&[other])), row.pick(&[one]) == row.pick(&[other]));
    }

    #[test]
    fn raw_values_are_the_values(values in vec(any_value(), 0..6)) {
        let row = Row::new(values.iter().cloned());
        let raw: Vec<Raw<'_>> = row.raw().collect();
        prop_assert_eq!(raw.len(), values.len());
        for (raw, value) in raw.into_iter().zip(row.values()) {
            let agrees = match (raw, value) {
                (Raw::Null, Value::Null) => true,
                (Raw::I64(a), Value::I64(b)) => a == b,
                (Raw::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
                (Raw::Text(a), Value::Text(b) | Value::Json(b)) => a == b.as_bytes(),
                (Raw::Text(a), Value::RawText(b)) => a == &b[..],
                (Raw::Bytes(a), Value::Bytes(b)) => a == &b[..],
                (Raw::Other(a), b) => same(&a, &b),
                _ => false,
            };
            prop_assert!(agrees, "{row:?}");
        }
    }

    #[test]
    fn encodings_are_equal_where_values_are((a, b) in pair()) {
        prop_assert_eq!(encoded(&a) == encoded(&b), same(&canonical(&a), &canonical(&b)));
    }

    #[test]
    fn no_encoding_begins_another((a, b) in pair()) {
        let (a, b) = (encoded(&a), encoded(&b));
        prop_assert!(a == b || !b.starts_with(&a));
    }

    #[test]
    fn any_bytes_are_canonical_or_refused(bytes in vec(prop_oneof![any::<u8>(), 0..20u8], 0..40)) {
        prop_assert_eq!(is_canonical_or_refused(&bytes), Ok(()));
    }

    #[test]
    fn spoilt_encodings_are_canonical_or_refused(bytes in mutated()) {
        prop_assert_eq!(is_canonical_or_refused(&bytes), Ok(()));
    }

    #[test]
    fn a_decimal_that_was_read_can_be_carried(given in decimal_text()) {
        if let Some(read) = Decimal::parse(&given) {
            prop_assert!(Decimal::from_canonical(read.as_str()).is_some(), "{given} reads as {} digits", read.as_str().len());
        }
    }

    #[test]
    fn a_row_gives_its_values_back(values in vec(any_value(), 0..8)) {
        let row = Row::new(values.clone());
        let read: Vec<_> = row.values().collect();
        prop_assert_eq!(read.len(), values.len());
        prop_assert!(read.iter().zip(&values).all(|(read, given)| same(read, &canonical(given))));
    }

    #[test]
    fn a_row_from_outside_has_the_columns_that_it_should(values in vec(any_value(), 0..8)) {
        let row = Row::new(values.clone());
        let (bytes, columns) = (row.as_bytes(), values.len());
        prop_assert_eq!(Row::from_bytes(bytes, columns), Ok(row.clone()));
        prop_assert_eq!(Row::from_bytes(bytes, columns + 1), Err(DecodeError::Truncated));
        if columns > 0 {
            prop_assert_eq!(Row::from_bytes(bytes, columns - 1), Err(DecodeError::Trailing));
            prop_assert!(Row::from_bytes(&bytes[..bytes.len() - 1], columns).is_err());
        }
    }

    #[test]
    fn picked_columns_are_a_row_of_them(values in vec(any_value(), 1..8), at in vec(any::<proptest::sample::Index>(), 0..8)) {
        let columns: Vec<usize> = at.iter().map(|at| at.index(values.len())).collect();
        let picked = Row::new(values.clone()).pick(&columns);
        prop_assert_eq!(picked, columns.iter().map(|at| values[*at].clone()).collect::<Row>());
    }

    #[test]
    fn a_builder_starts_afresh_after_each_row(first in vec(any_value(), 0..4), second in vec(any_value(), 0..4)) {
        let mut builder = RowBuilder::default();
        first.iter().for_each(|value| builder.push(value));
        prop_assert_eq!(builder.take_hash(), Row::new(first).hash());
        second.iter().for_each(|value| builder.push(value));
        prop_assert_eq!(builder.take(), Row::new(second));
    }

    #[test]
    fn the_hash_of_a_range_knows_no_order(hashes in vec(any::<u128>(), 0..20), turn in any::<proptest::sample::Index>()) {
        let sum = |hashes: &[u128]| hashes.iter().fold(RangeHash::default(), |mut range, hash| {
            range.add(RowHash(*hash));
            range
        });
        let mut turned = hashes.clone();
        turned.rotate_left(turn.index(hashes.len() + 1).min(hashes.len()));
        prop_assert_eq!(sum(&hashes), sum(&turned));
        prop_assert_eq!(sum(&hashes).rows, hashes.len() as u64);
    }
}

/// Whatever `parse` takes must come back from its encoding; a row that does not would lose its values unseen.
#[test]
fn the_smallest_decimals_can_be_carried() {
    for text in ["1e-149999", "1e-150000", "0.5e-150000"] {
        if let Some(read) = Decimal::parse(text) {
            let row = Row::new([Value::Decimal(read), Value::I64(7)]);
            assert_eq!(row.values().count(), 2, "{text}");
        }
    }
}

#[test]
fn what_is_no_decimal_is_not_read_as_one() {
    for text in ["+-inf", "++nan", "+-Infinity", "-nan", "infinit", "1_000", " 1", "0x10"] {
        assert_eq!(Decimal::parse(text), None, "{text}");
    }
}

//! Values go to real servers and come back; the server renders what went through, and must say the same.

use crate::given::{rounds, server, settings};
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::error::Error;
use tidewater_core::change::{Decimal, Value, encode_value};
use tidewater_postgres::wire::Stream;
use tidewater_postgres::{PgType, ValueError};
use tidewater_testing::{Postgres, Release};
use tokio::runtime::Runtime;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls};

/// A value's binary form, whatever its type.
#[derive(Debug, Clone, PartialEq)]
struct Raw(Vec<u8>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl FromSql<'_> for Raw {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A server and a connection to it that knows nothing of our values.
struct World {
    runtime: Runtime,
    client: Client,
    release: Release,
    _server: Postgres,
}

fn world(release: Release) -> World {
    let server = server(release);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(async {
        let settings = settings(&server.url("postgres"));
        let stream = Stream::open(&settings).await.expect("a connection");
        let mut config = Config::new();
        config.user("postgres").dbname("postgres");
        config.options("-c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=3");
        let (client, connection) = config.connect_raw(stream, NoTls).await.expect("to be let in");
        tokio::spawn(connection);
        client
    });
    World { runtime, client, release, _server: server }
}

impl World {
    /// The number of a type, its form in bytes and as text, as the server has them.
    fn ask(&self, sql: &str, parameter: &(dyn ToSql + Sync)) -> (Raw, String) {
        let row = self.runtime.block_on(self.client.query_one(sql, &[parameter]));
        let row = row.unwrap_or_else(|error| panic!("{:?}: {sql} {parameter:?}: {error:?}", self.release));
        (row.get(0), row.get(1))
    }

    fn oid(&self, name: &str) -> u32 {
        let sql = format!("SELECT to_regtype('{name}')::oid");
        self.runtime.block_on(self.client.query_one(&sql, &[])).expect("a type").get(0)
    }

    /// Given a value, when it goes to the server in either form, then the server renders it as we do, and it comes
    /// back the same in either form.
    fn goes_and_comes(&self, name: &str, value: &Value<'_>) {
        let kind = PgType::of(self.oid(name));
        let (mut bytes, mut text) = (Vec::new(), Vec::new());
        kind.encode_binary(value, &mut bytes).unwrap_or_else(|error| panic!("{name} {value:?}: {error}"));
        kind.encode_text(value, &mut text).unwrap_or_else(|error| panic!("{name} {value:?}: {error}"));
        let text = String::from_utf8(text).expect("UTF-8");
        let sql = format!("SELECT $1::{name}, format('%s', $1::{name})");
        let (raw, rendered) = self.ask(&sql, &Raw(bytes.clone()));
        assert_eq!(rendered, text, "{name} {value:?}");
        same(name, &kind.decode_binary(&raw.0), value);
        same(name, &kind.decode_text(rendered.as_bytes()), value);
        let sql = format!("SELECT ($1::text)::{name}, format('%s', ($1::text)::{name})");
        assert_eq!(self.ask(&sql, &text), (raw, rendered), "{name} {value:?} as text");
    }

    fn all_go_and_come(&self, name: &str, values: &BoxedStrategy<Value<'static>>) {
        let config = ProptestConfig { cases: rounds(), failure_persistence: None, ..ProptestConfig::default() };
        let goes = TestRunner::new(config).run(values, |value| {
            self.goes_and_comes(name, &value);
            Ok(())
        });
        goes.unwrap_or_else(|error| panic!("{:?}, {name}: {error}", self.release));
    }

    /// Given what the server makes of a literal, when it is read and written, then the server says the same.
    fn comes_and_goes(&self, name: &str, literal: &str) {
        let kind = PgType::of(self.oid(name));
        let sql = format!("SELECT ($1::text)::{name}, format('%s', ($1::text)::{name})");
        let (raw, rendered) = self.ask(&sql, &literal);
        let value = kind.decode_text(rendered.as_bytes()).unwrap_or_else(|e| panic!("{name} {rendered}: {e}"));
        let mut text = Vec::new();
        kind.encode_text(&value, &mut text).unwrap_or_else(|e| panic!("{name} {rendered}: {e}"));
        assert_eq!(String::from_utf8_lossy(&text), rendered, "{name}");
        if !kind.has_binary() {
            assert!(matches!(kind.decode_binary(&raw.0), Err(ValueError::NoBinary(_))));
            return;
        }
        same(name, &kind.decode_binary(&raw.0), &value);
        // In either form of the value: as it is, and as the text that it is to the server.
        for value in [value, Value::Text(rendered.clone().into())] {
            let mut bytes = Vec::new();
            kind.encode_binary(&value, &mut bytes).unwrap_or_else(|e| panic!("{name} {rendered}: {e}"));
            let sql = format!("SELECT $1::{name}, format('%s', $1::{name})");
            assert_eq!(self.ask(&sql, &Raw(bytes)), (raw.clone(), rendered.clone()), "{name}");
        }
    }
}

/// Equal to the bit.
#[track_caller]
fn same(name: &str, found: &Result<Value<'_>, ValueError>, wanted: &Value<'_>) {
    let bytes = |value: &Value<'_>| {
        let mut out = Vec::new();
        encode_value(value, &mut out);
        out
    };
    let found = found.as_ref().unwrap_or_else(|error| panic!("{name} {wanted:?}: {error}"));
    assert_eq!(bytes(found), bytes(wanted), "{name}: {found:?} {wanted:?}");
}

fn decimal(text: &str) -> Value<'static> {
    Value::Decimal(Decimal::parse(text).expect("a decimal"))
}

/// Each type whose values are more than text, with values of its whole range.
fn scalars() -> Vec<(&'static str, BoxedStrategy<Value<'static>>)> {
    let text = |pattern: &'static str| pattern.prop_map(|text: String| Value::Text(text.into())).boxed();
    let time = 0..=86_400_000_000i64;
    let points = || prop_oneof![4 => -210_866_803_200_000_000i64..i64::MAX, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let days = prop_oneof![4 => -2_440_588i32..2_145_042_906, 1 => Just(i32::MIN), 1 => Just(i32::MAX)];
    let hours = -4_000_000_000_000_000_000i64..4_000_000_000_000_000_000;
    let interval = (-1_000_000_000i32..1_000_000_000, any::<i32>(), hours);
    let numeric = prop_oneof![
        8 => "-?[0-9]{1,50}(\\.[0-9]{1,50})?".prop_map(|text| decimal(&text)),
        4 => "-?0\\.0{0,30}[0-9]{1,9}".prop_map(|text| decimal(&text)),
        4 => "-?[1-9]0{0,60}".prop_map(|text| decimal(&text)),
        1 => prop_oneof![Just("NaN"), Just("Infinity"), Just("-Infinity")].prop_map(decimal),
    ];
    vec![
        ("bool", any::<bool>().prop_map(Value::Bool).boxed()),
        ("int2", any::<i16>().prop_map(|v| Value::I64(v.into())).boxed()),
        ("int4", any::<i32>().prop_map(|v| Value::I64(v.into())).boxed()),
        ("int8", any::<i64>().prop_map(Value::I64).boxed()),
        ("oid", any::<u32>().prop_map(|v| Value::I64(v.into())).boxed()),
        ("float4", proptest::num::f32::ANY.prop_map(|v| Value::F64(v.into())).boxed()),
        ("float8", proptest::num::f64::ANY.prop_map(Value::F64).boxed()),
        ("numeric", numeric.boxed()),
        ("text", text("[^\0]{0,40}")),
        ("varchar", text("[^\0]{0,40}")),
        ("bpchar", text("[^\0]{0,40}")),
        ("name", text("[^\0]{0,15}")),
        ("\"char\"", text("[ -~]?")),
        ("bytea", vec(any::<u8>(), 0..40).prop_map(|v| Value::Bytes(v.into())).boxed()),
        ("date", days.prop_map(Value::Date).boxed()),
        ("time", time.prop_map(Value::Time).boxed()),
        ("timestamp", points().prop_map(Value::Timestamp).boxed()),
        ("timestamptz", points().prop_map(Value::TimestampTz).boxed()),
        ("interval", interval.prop_map(|(months, days, micros)| Value::Interval { months, days, micros }).boxed()),
        ("uuid", any::<[u8; 16]>().prop_map(Value::Uuid).boxed()),
        ("json", " {0,2}[\\[]\"[a-zé ]{0,9}\" , 1[.]50[\\]] ?".prop_map(|v| Value::Json(v.into())).boxed()),
        ("jsonb", "\"[a-zé ,{}]{0,9}\"".prop_map(|v| Value::Json(v.into())).boxed()),
    ]
}

#[test]
fn values_of_every_type_go_and_come() {
    for release in Release::ALL {
        let world = world(release);
        for (name, values) in scalars() {
            world.all_go_and_come(name, &values);
        }
    }
}

#[test]
fn arrays_of_every_type_go_and_come() {
    for release in Release::ALL {
        let world = world(release);
        for (name, values) in scalars() {
            let element = option::weighted(0.8, values).prop_map(|v| v.unwrap_or(Value::Null)).boxed();
            let flat = vec(element.clone(), 0..5).prop_map(Value::Array);
            let rectangle = (1usize..4, 1usize..4).prop_flat_map(move |(rows, columns)| {
                vec(vec(element.clone(), columns).prop_map(Value::Array), rows).prop_map(Value::Array)
            });
            world.all_go_and_come(&format!("{name}[]"), &prop_oneof![flat, rectangle].boxed());
        }
    }
}

#[test]
fn what_servers_write_is_read_and_written_the_same() {
    for release in Release::ALL {
        let world = world(release);
        let made = "CREATE TYPE mood AS ENUM ('sad', 'not so sad'); CREATE TYPE pair AS (a int, b text)";
        world.runtime.block_on(world.client.batch_execute(made)).unwrap();
        for (name, literals) in LITERALS {
            for literal in *literals {
                world.comes_and_goes(name, literal);
            }
        }
        if release == Release::Debian {
            // The newest is built without.
            world.comes_and_goes("xml", "<a>é</a>");
        } else {
            world.comes_and_goes("interval", "infinity");
            world.comes_and_goes("interval", "-infinity");
            world.comes_and_goes("\"char\"", "\\377");
            world.comes_and_goes("\"char\"[]", "{\"\\\\377\",a}");
        }
    }
}

const LITERALS: &[(&str, &[&str])] = &[
    ("int2", &["-32768", "32767"]),
    ("int8", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["4294967295"]),
    (
        "float4",
        &[
            "0.1",
            "1e-45",
            "3.4028235e38",
            "16777216",
            "-0",
            "NaN",
            "-Infinity",
            "8.5e5",
            "1234567",
            "3213721.25",
            "53924912",
            "479238016",
        ],
    ),
    (
        "float8",
        &[
            "0.1",
            "5e-324",
            "1e15",
            "123456789012345.6",
            "-0",
            "NaN",
            "Infinity",
            "1e-5",
            "1e-4",
            "1e23",
            "9007199254740993",
            "4503599627370497.5",
        ],
    ),
    (
        "numeric",
        &["0", "0.000", "-0", "1e1000", "1e-1000", "NaN", "Infinity", "-Infinity", "10000", "9999.9999", "00.10"],
    ),
    ("numeric", &["1e131071", "1e-16383", "123456789012345678901234567890.123456789012345678901234567890"]),
    (
        "date",
        &["4714-11-24 BC", "0001-01-01", "0001-12-31 BC", "5874897-12-31", "infinity", "-infinity", "12345-01-01"],
    ),
    ("time", &["00:00:00", "24:00:00", "23:59:59.999999", "12:00:00.5"]),
    ("timestamp", &["4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity"]),
    ("timestamp", &["294247-01-10 04:00:54.775806", "294247-01-10 04:00:54.775807", "294247-01-10 04:00:54.775808"]),
    ("timestamptz", &["294276-12-31 23:59:59.999999+00", "2026-01-02 03:04:05+05:45", "0044-03-15 12:00:00+00 BC"]),
    ("timestamp[]", &["{\"294276-12-31 23:59:59.999999\",infinity,NULL}"]),
    (
        "interval",
        &["0", "1 year -1 day", "-1 year 1 day 1 second", "-1 mon 00:00:01", "178000000 years", "-0.000001 s"],
    ),
    ("json", &["{\"a\" :  1, \"a\":2}", " 1.0 ", "\"\\u0041\""]),
    ("jsonb", &["{\"b\" :  1.50, \"a\":[null, true]}", "1e5", "\"é\\n\""]),
    ("bpchar(5)", &["a", ""]),
    ("bytea", &["\\x", "\\x00ff"]),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("int4[]", &["{}", "[0:1]={1,2}", "[-1:0][5:6]={{1,NULL},{3,4}}", "{{{1}},{{2}}}", "{{{{{{1}}}}}}"]),
    ("text[]", &["{NULL,\"NULL\",null,\"\",\" a\",\"a,b\",\"{\",\"\\\"\\\\\"}", "[2:2]={\"a b\"}", "{é}"]),
    ("float8[]", &["[0:2]={1e+20,-0,NaN}"]),
    ("numeric[]", &["[0:1]={1.50,NaN}"]),
    ("interval[]", &["[0:1]={\"1 day\",01:00:00}"]),
    ("bool[]", &["{t,f,NULL}", "[3:3]={t}"]),
    ("bytea[]", &["[0:0]={\"\\\\x00ff\"}"]),
    ("timetz", &["12:34:56.789+05:45", "24:00:00-12"]),
    ("inet", &["10.0.0.1", "10.0.0.0/8", "::1"]),
    ("inet[]", &["{10.0.0.1,NULL}", "[0:0]={::1}"]),
    ("cidr", &["10.0.0.0/8"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("money", &["$1,234.50"]),
    ("money[]", &["{\"$1,234.50\"}"]),
    ("bit(3)", &["101"]),
    ("varbit", &["", "10101"]),
    ("varbit[]", &["{101,\"\"}"]),
    ("tsvector", &["'a':1 'b c':2A"]),
    ("tsvector[]", &["{\"'a':1\"}"]),
    ("int4range", &["[1,5)", "empty", "(,)"]),
    ("int4range[]", &["{\"[1,5)\"}"]),
    ("int4multirange", &["{[1,5),[7,9)}"]),
    ("point", &["(1,2)"]),
    ("box[]", &["{(1,1),(0,0);(2,2),(1,1)}"]),
    ("mood", &["not so sad"]),
    ("mood[]", &["{sad,\"not so sad\"}"]),
    ("pair", &["(1,\"a b\")", "(,)"]),
];

#[test]
fn what_a_type_cannot_hold_is_refused() {
    let misfits = [
        (21, Value::I64(32_768)),
        (23, Value::I64(-2_147_483_649)),
        (23, Value::F64(1.0)),
        (23, Value::Text("1.5".into())),
        (26, Value::I64(-1)),
        (20, Value::U64(u64::MAX)),
        (700, Value::F64(0.1)),
        (700, Value::F64(1e300)),
        (701, Value::I64((1 << 53) + 1)),
        (1700, Value::F64(0.1)),
        (1700, Value::Text("one".into())),
        (1082, Value::Date(i32::MAX - 1)),
        (1083, Value::Time(86_400_000_001)),
        (1083, Value::Time(-1)),
        (1114, Value::Timestamp(i64::MIN + 1)),
        (1114, Value::TimestampTz(0)),
        (16, Value::I64(1)),
        (17, Value::Text("abc".into())),
        (18, Value::Text("ab".into())),
        (25, Value::I64(1)),
        (2950, Value::Bytes(vec![0; 16].into())),
        (1007, Value::Array(vec![Value::I64(1 << 40)])),
        (1007, Value::Array(vec![Value::Array(vec![])])),
        (1007, Value::Text("{1".into())),
        (1007, Value::I64(1)),
    ];
    for (oid, value) in &misfits {
        let kind = PgType::of(*oid);
        let mut bytes = Vec::new();
        let refused = kind.encode_binary(value, &mut bytes);
        assert!(matches!(refused, Err(ValueError::Misfit(_))), "{oid} {value:?}: {refused:?}");
        // Of the same text, arrays look at the braces only.
        if !matches!(value, Value::Text(_)) {
            assert!(kind.encode_text(value, &mut bytes).is_err(), "{oid} {value:?}");
        }
    }
    for (oid, value) in
        [(23, Value::U64(5)), (701, Value::I64(1 << 53)), (1700, Value::U64(u64::MAX)), (25, Value::Json("1".into()))]
    {
        PgType::of(oid).encode_binary(&value, &mut Vec::new()).unwrap();
    }
    for value in [Value::Null, Value::Unchanged] {
        assert!(PgType::of(25).encode_text(&value, &mut Vec::new()).is_err());
    }
}

const KNOWN: [u32; 24] = [
    16, 17, 18, 20, 21, 23, 25, 26, 114, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 3802, 1007, 1009, 1231,
    1115, 869,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds() * 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_refused_or_a_value(bytes in vec(any::<u8>(), 0..40), at in 0..KNOWN.len()) {
        let kind = PgType::of(KNOWN[at]);
        if let Ok(value) = kind.decode_binary(&bytes) {
            let mut back = Vec::new();
            kind.encode_binary(&value, &mut back).unwrap();
            same("noise", &kind.decode_binary(&back), &value);
        }
        if let Ok(value) = kind.decode_text(&bytes) {
            let mut back = Vec::new();
            kind.encode_text(&value, &mut back).unwrap();
            same("noise", &kind.decode_text(&back), &value);
        }
    }

    #[test]
    fn text_that_looks_right_is_no_panic(text in "[-+0-9:. {}\\[\\]=,\"\\\\a-zé]{0,30}", at in 0..KNOWN.len()) {
        let kind = PgType::of(KNOWN[at]);
        let value = Value::Text(text.into());
        let mut out = Vec::new();
        let _ = kind.encode_binary(&value, &mut out);
        let _ = kind.encode_text(&value, &mut out);
    }
}

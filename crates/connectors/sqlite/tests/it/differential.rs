//! Generated schemas and workloads, written by a second process, against plain SQL as the oracle.

use crate::given::{Step, given, rows, run};
use std::collections::{BTreeMap, HashSet};
use tidewater_core::capture::{Read, Resumed};
use tidewater_core::change::{Op, Row, Transaction, Value};
use tidewater_core::env::Env;

/// The same seed, the same run.
struct Dice(Env);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        self.0.random.bits() % sides
    }

    fn of<'a>(&self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len() as u64) as usize]
    }

    fn value(&self) -> String {
        match self.roll(8) {
            0 => "NULL".to_owned(),
            1 => format!("x'{:02x}{:02x}'", self.roll(256), self.roll(256)),
            2 => format!("{}.5", self.roll(20)),
            3 => format!("{}.0", self.roll(20)),
            4 => format!("CAST(x'{:02x}41' AS TEXT)", self.roll(256)),
            5 => self.of(&["'a'", "'A'", "'ä'", "''", "'10'", "'abc'", "'ABC'"]).to_owned(),
            _ => self.roll(20).to_string(),
        }
    }
}

/// A table: its DDL, and its columns of which the first `keys` are the key.
struct Shape {
    ddl: Vec<String>,
    columns: Vec<String>,
    keys: usize,
    /// Whether the key is the row number.
    numbered: bool,
}

fn shape(dice: &Dice, name: &str) -> Shape {
    let keys = 1 + dice.roll(2) as usize;
    let others = 1 + dice.roll(4) as usize;
    let columns: Vec<String> = (0..keys + others).map(|n| format!("c{n}")).collect();
    let (mut parts, mut ddl) = (Vec::new(), Vec::new());
    let integer_key = keys == 1 && dice.roll(2) == 0;
    for (n, column) in columns.iter().enumerate() {
        let kind = dice.of(&["INT", "TEXT", "REAL", "BLOB", "", "NUMERIC"]);
        let collate = dice.of(&["", "", "COLLATE NOCASE", "COLLATE RTRIM"]);
        let rule = match (n < keys, dice.roll(5)) {
            (true, _) => "NOT NULL",
            (false, 0) => "UNIQUE",
            (false, 1) => "UNIQUE ON CONFLICT REPLACE",
            (false, 2) => "DEFAULT 7",
            _ => "",
        };
        parts.push(match (n, integer_key) {
            (0, true) => format!("{column} INTEGER PRIMARY KEY"),
            _ => format!("{column} {kind} {collate} {rule}"),
        });
    }
    if !integer_key {
        parts.push(format!("PRIMARY KEY ({})", columns[..keys].join(", ")));
    }
    if dice.roll(3) == 0 {
        parts.push(format!("g AS ({0} || 'x') {1}", columns[keys], dice.of(&["", "STORED"])));
        let last = parts.len() - 1;
        let at = columns.len();
        let generated = parts.remove(last);
        parts.insert(at, generated);
    }
    let tail = if !integer_key && dice.roll(2) == 0 { " WITHOUT ROWID" } else { "" };
    ddl.push(format!("CREATE TABLE {name} ({}){tail};", parts.join(", ")));
    let column = &columns[keys + dice.roll(others as u64) as usize];
    match dice.roll(5) {
        0 => ddl.push(format!("CREATE UNIQUE INDEX {name}_i ON {name}(lower({column})) WHERE {column} IS NOT NULL;")),
        1 => ddl.push(format!("CREATE UNIQUE INDEX {name}_i ON {name}({column} COLLATE NOCASE, {});", columns[0])),
        2 => ddl.push(format!("CREATE INDEX {name}_i ON {name}({column} DESC);")),
        _ => {}
    }
    Shape { ddl, columns, keys, numbered: integer_key }
}

/// Rows beyond the last, and what may become of them at once: where the key is the row number, they are not logged one
/// by one.
fn appending(dice: &Dice, name: &str, shape: &Shape) -> String {
    let (key, or) = (&shape.columns[0], dice.of(&["", "OR REPLACE", "OR IGNORE", "OR FAIL"]));
    let last = format!("(SELECT max({key}) FROM {name})");
    match dice.roll(8) {
        0 => format!("DELETE FROM {name} WHERE {key} > {last} - {};", dice.roll(8)),
        1 => format!("UPDATE {or} {name} SET {key} = {key} + {} WHERE {key} < 5;", 1 + dice.roll(60)),
        2 => format!("UPDATE OR IGNORE {name} SET {key} = {key} - {} WHERE {key} = {last};", 1 + dice.roll(60)),
        3 => format!("UPDATE {name} SET {} = {} WHERE {key} = {last};", shape.columns[1], dice.value()),
        kind => {
            let rest = |at: usize| match at {
                0 if kind == 4 => format!("ifnull({last}, 0) + {} - i", 5 + dice.roll(20)),
                0 => "NULL".to_owned(),
                _ if dice.roll(3) == 0 => dice.value(),
                _ => "abs(random() % 1000)".to_owned(),
            };
            let values: Vec<String> = (0..shape.columns.len()).map(rest).collect();
            let rows = 1 + dice.roll(12);
            let insert = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) INSERT {or} INTO {name}({}) SELECT {} FROM n;",
                shape.columns.join(", "),
                values.join(", ")
            );
            match dice.roll(6) {
                0 => format!("BEGIN; {insert} ROLLBACK;"),
                1 => format!("BEGIN; SAVEPOINT s; {insert} ROLLBACK TO s; {insert} COMMIT;"),
                _ => insert,
            }
        }
    }
}

/// One statement of any kind; it may fail, as an application's may.
fn statement(dice: &Dice, name: &str, shape: &Shape) -> String {
    if shape.numbered && dice.roll(2) == 0 {
        return appending(dice, name, shape);
    }
    let or = |dice: &Dice| dice.of(&["", "OR REPLACE", "OR IGNORE", "OR REPLACE", "OR ABORT", "OR FAIL"]).to_owned();
    let any = |dice: &Dice| shape.columns[dice.roll(shape.columns.len() as u64) as usize].clone();
    let list = shape.columns.join(", ");
    match dice.roll(10) {
        0..=3 => {
            let rows: Vec<String> = (0..1 + dice.roll(3))
                .map(|_| format!("({})", shape.columns.iter().map(|_| dice.value()).collect::<Vec<_>>().join(", ")))
                .collect();
            format!("INSERT {} INTO {name}({list}) VALUES {};", or(dice), rows.join(", "))
        }
        4 | 5 => format!(
            "UPDATE {} {name} SET {} = {} WHERE {} > {};",
            or(dice),
            any(dice),
            dice.value(),
            any(dice),
            dice.value()
        ),
        6 => {
            let key = &shape.columns[dice.roll(shape.keys as u64) as usize];
            format!("UPDATE {} {name} SET {key} = {} WHERE {} = {};", or(dice), dice.value(), any(dice), dice.value())
        }
        7 => format!("DELETE FROM {name} WHERE {} < {};", any(dice), dice.value()),
        8 => {
            let values: Vec<String> = shape.columns.iter().map(|_| dice.value()).collect();
            let (set, value) = (any(dice), dice.value());
            format!(
                "INSERT INTO {name}({list}) VALUES ({}) ON CONFLICT DO UPDATE SET {set} = {value};",
                values.join(", ")
            )
        }
        _ => format!("BEGIN; DELETE FROM {name}; {}", dice.of(&["ROLLBACK;", "COMMIT;"])),
    }
}

#[test]
fn generated_tables_and_workloads_arrive() {
    let rounds: u64 = std::env::var("TIDEWATER_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(20);
    let from: u64 = std::env::var("TIDEWATER_TEST_SEED").ok().and_then(|r| r.parse().ok()).unwrap_or(1);
    for seed in from..from + rounds.div_ceil(4) {
        let dice = Dice(Env::seeded(seed));
        let shapes: Vec<(String, Shape)> =
            (0..3).map(|n| format!("t{n}")).map(|name| (name.clone(), shape(&dice, &name))).collect();
        let ddl: Vec<String> = shapes.iter().flat_map(|(_, s)| s.ddl.clone()).collect();
        let pair = given(&ddl.join("\n"));
        let mut written = String::new();
        for round in 0..6 {
            let mut script = String::from(".bail off\n");
            for _ in 0..25 {
                let (name, shape) = &shapes[dice.roll(3) as usize];
                script.push_str(&statement(&dice, name, shape));
                script.push('\n');
            }
            written.push_str(&script);
            // Statements that fail say so; what counts is what the database holds afterwards.
            let _ = crate::given::try_shell(&pair.source, &script);
            let report = pair
                .tries()
                .unwrap_or_else(|error| panic!("seed {seed} round {round}: {error}\n{}\n{written}", ddl.join("\n")));
            assert!(!report.needs_attention(), "seed {seed} round {round}: {report:?}\n{}\n{written}", ddl.join("\n"));
            let same = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pair.same()));
            assert!(same.is_ok(), "seed {seed} round {round} differs\n{}\n{written}", ddl.join("\n"));
        }
    }
}

#[test]
fn generated_writes_at_both_ends_of_a_chain_arrive_at_its_last() {
    let rounds: u64 = std::env::var("TIDEWATER_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(20);
    for seed in 1..=rounds.div_ceil(10) {
        let dice = Dice(Env::seeded(seed));
        let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, v);");
        let third = pair.folder.path().join("third.db");
        let onwards = || run(&pair.target, &third, &pair.settings, pair.log_rows_max).expect("runs");
        let shape = Shape { ddl: vec![], columns: vec!["id".into(), "v".into()], keys: 1, numbered: true };
        pair.syncs();
        onwards();
        let mut done = Vec::new();
        for _ in 0..40 {
            let end = match dice.roll(6) {
                0 => {
                    done.push("first link".to_owned());
                    assert_eq!(pair.syncs().compared, 0, "seed {seed}: {done:#?}");
                    continue;
                }
                1 => {
                    done.push("second link".to_owned());
                    assert_eq!(onwards().compared, 0, "seed {seed}: {done:#?}");
                    assert_eq!(rows(&pair.target, "t"), rows(&third, "t"), "seed {seed}: {done:#?}");
                    continue;
                }
                2 | 3 => &pair.source,
                _ => &pair.target,
            };
            let sql = statement(&dice, "t", &shape);
            let _ = crate::given::try_shell(end, &format!(".bail off\n{sql}"));
            done.push(format!("{}: {sql}", end.file_name().unwrap_or_default().display()));
        }
        pair.syncs();
        onwards();
        assert_eq!(rows(&pair.target, "t"), rows(&third, "t"), "seed {seed}: {done:#?}");
    }
}

/// What a target would hold that took every change as it came.
fn take(held: &mut BTreeMap<i64, Row>, read: &Transaction) {
    let keys: HashSet<_> = read.changes.iter().map(|change| &change.key).collect();
    assert_eq!(keys.len(), read.changes.len(), "each row once: {read:?}");
    for change in &read.changes {
        let Some(Value::I64(id)) = change.key.values().next() else { panic!("a row number was expected") };
        match &change.op {
            Op::Upsert(row) => held.insert(id, row.clone()),
            _ => held.remove(&id),
        };
    }
}

#[test]
fn generated_writes_between_the_reads_of_one_reader_arrive() {
    let rounds: u64 = std::env::var("TIDEWATER_TEST_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(20);
    for seed in 1..=rounds.div_ceil(5) {
        let dice = Dice(Env::seeded(seed));
        let pair = given("CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v);");
        let columns = ["id", "u", "v"].map(str::to_owned).to_vec();
        let shape = Shape { ddl: vec![], columns, keys: 1, numbered: true };
        let mut reader = Step::of(&pair.source, "reader");
        let mut at = reader.begins(None).position;
        let (mut held, mut done, mut settled) = (BTreeMap::new(), Vec::new(), 0);
        for _ in 0..150 {
            let what = dice.roll(10);
            if what < 4 {
                let sql = statement(&dice, "t", &shape);
                let _ = crate::given::try_shell(&pair.source, &format!(".bail off\n{sql}"));
                done.push(sql);
                continue;
            }
            if what == 4 {
                drop(reader);
                reader = Step::of(&pair.source, "reader");
                let start = reader.begins(Some(&at));
                assert_eq!((start.resumed, start.position), (Resumed::At, at.clone()), "seed {seed}: {done:#?}");
            }
            let complete = match reader.reads(&at, 1 + dice.roll(9) as usize, 1 << 20) {
                Read::Changes(read) => {
                    take(&mut held, &read);
                    at = read.position;
                    reader.confirms(&at);
                    read.settled
                }
                Read::Nothing => true,
                Read::SchemaChanged => panic!("seed {seed}: nobody changed it: {done:#?}"),
            };
            done.push(format!("read through {at}, {complete}"));
            if complete {
                settled += 1;
                assert!(held.values().eq(&reader.rows()), "seed {seed}: {done:#?}");
            }
        }
        assert!(settled > 10, "seed {seed}: it came to the end {settled} times");
    }
}

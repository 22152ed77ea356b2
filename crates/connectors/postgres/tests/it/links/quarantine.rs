//! Rows that could not be written, whatever both ends are: what becomes of them, and who may touch them when.

use super::given::{End, Pair, block_on, server};
use std::path::PathBuf;
use std::sync::Arc;
use tidewater_core::apply::{Existing, Quarantined, Target, Which, Writer};
use tidewater_core::change::{Change, Key, Mapping, Op, Row, Table, TableScope, Value};
use tidewater_core::env::Env;
use tidewater_core::link::{Ends, Run, Settings};
use tidewater_core::transport::{Batch, Mode, Progress};
use tidewater_postgres::Settings as Server;
use tidewater_testing::{Postgres, Release};

const T: &str = "CREATE TABLE t(id int PRIMARY KEY, code text UNIQUE, big text, n int)";

fn pair(server: &Postgres) -> Pair {
    Pair::new(End::Postgres(server.url("shop")), End::Postgres(server.url("till")))
}

/// How many rows wait after a run.
fn waiting(pair: &Pair) -> u64 {
    let report = block_on(pair.sync()).unwrap();
    assert!(report.in_step, "{report:?}");
    report.held_rows
}

fn give_up(server: &Postgres) -> u64 {
    let (settings, env) = (Server::parse(&server.url("till")).unwrap(), Env::real());
    block_on(async {
        let entries = tidewater_postgres::quarantine(&settings, &Which { rows_max: 1, ..Which::default() }, &env).await;
        let links = vec![entries.unwrap()[0].link.clone()];
        tidewater_postgres::discard(&settings, &Which { links, ..Which::default() }, &[], &env).await.unwrap()
    })
}

#[test]
fn a_part_of_a_row_that_was_given_up_brings_the_whole_row() {
    for release in Release::ALL {
        let server = server(release);
        server.execute_in("shop", T).unwrap();
        assert_eq!(waiting(&pair(&server)), 0);
        server.execute_in("till", "INSERT INTO t VALUES (999, 'taken')").unwrap();
        let large = "SELECT 1, 'taken', string_agg(md5(random()::text), ''), 0 FROM generate_series(1, 400)";
        server.execute_in("shop", &format!("INSERT INTO t {large}")).unwrap();
        assert_eq!(waiting(&pair(&server)), 1);
        assert_eq!(give_up(&server), 1);
        assert_eq!(waiting(&pair(&server)), 0, "it is given up");

        // The log has no large value that did not change: the row cannot be made of what arrives.
        server.execute_in("shop", "UPDATE t SET n = n + 1").unwrap();

        assert_eq!(waiting(&pair(&server)), 1);
        server.execute_in("till", "DELETE FROM t").unwrap();
        assert_eq!(waiting(&pair(&server)), 0);
        assert!(block_on(pair(&server).differences()).is_empty());
    }
}

#[test]
fn a_comparison_leaves_rows_given_up_that_it_cannot_write() {
    let server = server(Release::Newest);
    server.execute_in("shop", &format!("{T}; INSERT INTO t VALUES (1, 'taken'), (2, 'b')")).unwrap();
    let resting =
        || pair(&server).with(Settings { keeps_log: false, existing: Existing::Overwrite, ..Settings::default() });
    server.execute_in("till", &format!("{T}; INSERT INTO t VALUES (999, 'taken')")).unwrap();
    assert_eq!(waiting(&resting()), 1);
    assert_eq!(give_up(&server), 1);

    assert_eq!(waiting(&resting()), 0, "each run compares all, and cannot write it");

    server.execute_in("till", "DELETE FROM t WHERE id = 999").unwrap();
    assert_eq!(waiting(&resting()), 0);
    assert_eq!(server.execute_in("till", "SELECT count(*) FROM t").unwrap().trim(), "2");
    assert_eq!(server.execute_in("till", "SELECT count(*) FROM tidewater.held").unwrap().trim(), "0");
}

/// The one entry of a target's quarantine, and the target ready to write its row again.
async fn ready(pair: &Pair) -> (Box<dyn Target>, Quarantined) {
    let survey = pair.source().await.unwrap().survey().await.unwrap();
    let tables: Vec<Table> = survey.tables.into_iter().map(Table::in_other_words).collect();
    let mappings: Arc<[Mapping]> = vec![TableScope::default().resolve(&tables[0]).unwrap()].into();
    let mut target = pair.target().await.unwrap();
    let entry = target.held(&Which { rows_max: 9, ..Which::default() }).await.unwrap().remove(0);
    let writer = Writer {
        link: entry.link.clone(),
        source: "source".into(),
        source_identity: survey.identity,
        existing: Existing::Overwrite,
        protect: None,
        run_triggers: vec![],
        journal_keep_days: None,
    };
    target.ledger(&writer).await.unwrap();
    target.prepare(mappings, &tables, false).await.unwrap();
    (target, entry)
}

/// Another program at a target.
type Program<'a> = &'a dyn Fn(&str);

#[test]
fn a_row_that_was_read_before_its_entry_changed_is_not_written() {
    let server = server(Release::Newest);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let at_server = |sql: &str| {
        server.execute_in("till", &sql.replace("ENTRIES", "tidewater.held")).unwrap();
    };
    let file = |sql: &str| {
        let sql = sql.replace("ENTRIES", "_tidewater_held");
        rusqlite::Connection::open(path("till.db")).unwrap().execute_batch(&sql).unwrap();
    };
    rusqlite::Connection::open(path("shop.db"))
        .unwrap()
        .execute_batch(&format!("{T}; INSERT INTO t VALUES (1, 'taken', '', 0)"))
        .unwrap();
    let targets: [(End, Program<'_>); 2] =
        [(End::Postgres(server.url("till")), &at_server), (End::Sqlite(path("till.db")), &file)];
    for (target, other) in targets {
        other(&format!("{T}; INSERT INTO t VALUES (999, 'taken', '', 0)"));
        let pair = Pair::new(End::Sqlite(path("shop.db")), target).with(Settings {
            existing: Existing::Overwrite,
            run: Run::UntilInStep,
            ..Settings::default()
        });
        assert_eq!(waiting(&pair), 1);
        other("DELETE FROM t");
        block_on(async {
            let (mut target, entry) = ready(&pair).await;
            let row = Row::new([Value::I64(1), Value::Text("taken".into()), Value::Text("".into()), Value::I64(0)]);
            let again = |tries: u64| Batch {
                emptied: vec![],
                origins: vec![],
                changes: vec![Change { table: 0, key: Key::new([Value::I64(1)]), op: Op::Upsert(row.clone()) }],
                progress: Progress::Retried { tries: vec![tries] },
                settled: false,
                mode: Mode::Replace,
            };
            other("UPDATE ENTRIES SET tries = tries + 1");
            let stale = target.write(again(entry.tries)).await.unwrap();
            assert_eq!((stale.upserts, stale.released, stale.held.len()), (0, 0, 0), "{stale:?}");
            let written = target.write(again(entry.tries + 1)).await.unwrap();
            assert_eq!((written.upserts, written.released), (1, 1), "{written:?}");
            let late = target.write(again(entry.tries + 1)).await.unwrap();
            assert_eq!((late.upserts, late.released), (0, 0), "the entry is gone: {late:?}");
        });
    }
}

#[test]
fn a_long_quarantine_is_read_in_pages() {
    let server = server(Release::Newest);
    server
        .execute_in("shop", &format!("{T}; INSERT INTO t SELECT i, 'c' || i, '', 0 FROM generate_series(1, 40000) i"))
        .unwrap();
    assert_eq!(waiting(&pair(&server)), 0);
    // 20 MB of reasons: more than one answer of a server may have.
    let entries = "INSERT INTO tidewater.held(link, name, key, reason, since) \
                   SELECT link, 't', decode('03' || lpad(to_hex(i), 16, '0'), 'hex'), repeat('x', 500), now() \
                   FROM tidewater.link, generate_series(1, 40000) i";
    server.execute_in("till", &entries.replace("'03' || lpad(to_hex(i), 16, '0')", &key_sql())).unwrap();
    let settings = Server::parse(&server.url("till")).unwrap();
    let status = block_on(tidewater_postgres::status(&settings, &Env::real())).unwrap();
    assert_eq!((status.links[0].held_rows(), status.links[0].held.len()), (40_000, 100));
    server.execute_in("shop", "UPDATE t SET n = 1 WHERE id = 7").unwrap();

    assert_eq!(waiting(&pair(&server)), 0, "all were tried again");

    assert_eq!(server.execute_in("till", "SELECT count(*) FROM t WHERE n = 1").unwrap().trim(), "1");
}

/// The encoding of the key `i`, found out from that of one: a tag, and the number in some order of bytes.
fn key_sql() -> String {
    let bytes = |i: i64| Key::new([Value::I64(i)]).as_bytes().to_vec();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let cases: Vec<String> = (1..=40_000).map(|i| format!("'{}'", hex(&bytes(i)))).collect();
    format!("(ARRAY[{}])[i]", cases.join(","))
}

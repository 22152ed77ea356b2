//! What has gone wrong for others: each by name.

use super::given::{End, Pair, block_on, server, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidewater_core::change::{Filter, Pattern, Scope, TableScope};
use tidewater_core::link::{Existing, Settings};
use tidewater_core::{Error, code};
use tidewater_testing::{Access, Postgres, Release, Setup};

fn pair(shop: &Postgres) -> Pair {
    Pair::new(End::Postgres(shop.url("shop")), End::Postgres(shop.url("till")))
}

/// Both hold the same rows of a table, as the server prints them.
#[track_caller]
fn same(server: &Postgres, table: &str) {
    let sql = format!("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t");
    assert_eq!(server.execute_in("shop", &sql).unwrap(), server.execute_in("till", &sql).unwrap());
}

#[track_caller]
fn sync(pair: &Pair) -> tidewater_core::link::Report {
    let report = block_on(pair.sync()).unwrap();
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    report
}

#[test]
fn values_of_every_type_arrive_as_they_are() {
    for release in Release::ALL {
        let server = server(release);
        server.execute_in("shop", include_str!("every_type.sql")).unwrap();
        sync(&pair(&server));
        same(&server, "every");
        // By the log, too: the same rows once more, under other keys.
        server
            .execute_in(
                "shop",
                "CREATE TEMP TABLE more AS SELECT * FROM every; ALTER TABLE more DROP COLUMN g; UPDATE more SET id = id + 100; \
             INSERT INTO every SELECT * FROM more; UPDATE every SET note = 'touched' WHERE id < 3",
            )
            .unwrap();
        let report = sync(&pair(&server));
        assert!(report.compared == 0 && report.upserts > 0, "{report:?}");
        same(&server, "every");
    }
}

#[test]
fn values_go_through_sqlite_and_come_back_as_they_were() {
    let server = server(Release::Debian);
    server.execute_in("shop", include_str!("every_type.sql")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let local = End::Sqlite(folder.path().join("local.db"));
    sync(&Pair::new(End::Postgres(server.url("shop")), local.clone()));
    // The types are the first one's, the rows come from SQLite alone.
    server.execute_in("till", include_str!("every_type.sql")).unwrap();
    server.execute_in("till", "TRUNCATE every").unwrap();
    let back = Pair::new(local, End::Postgres(server.url("till")));
    let report = sync(&back);
    assert!(report.copied > 5, "{report:?}");
    same(&server, "every");
}

#[test]
fn large_values_that_did_not_change_stay() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY, big text, n int, other text); \
         INSERT INTO t SELECT i, string_agg(md5(random()::text), ''), 0, 'x' FROM generate_series(1, 20) i, generate_series(1, 400) GROUP BY i").unwrap();
    sync(&pair(&server));
    server
        .execute_in(
            "shop",
            "UPDATE t SET n = n + 1; UPDATE t SET id = id + 100 WHERE id < 5; UPDATE t SET other = 'y' WHERE id = 7; \
         UPDATE t SET big = 'short' WHERE id = 8; DELETE FROM t WHERE id = 9",
        )
        .unwrap();
    assert_eq!(sync(&pair(&server)).compared, 0);
    same(&server, "t");
}

#[test]
fn a_held_row_of_which_a_part_is_updated_stays_held() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY, code text UNIQUE, big text, n int)").unwrap();
    sync(&pair(&server));
    server.execute_in("till", "INSERT INTO t VALUES (999, 'taken')").unwrap();
    let large = "SELECT 1, 'taken', string_agg(md5(random()::text), ''), 0 FROM generate_series(1, 400)";
    server.execute_in("shop", &format!("INSERT INTO t {large}")).unwrap();
    for change in ["SELECT 1", "UPDATE t SET n = n + 1"] {
        server.execute_in("shop", change).unwrap();
        let report = block_on(pair(&server).sync()).unwrap();
        assert_eq!(report.held.len(), 1, "{change}: {report:?}");
    }
    server.execute_in("till", "DELETE FROM t").unwrap();
    sync(&pair(&server));
    same(&server, "t");
}

#[test]
fn a_row_that_cannot_stand_here_can_be_deleted() {
    let server = server(Release::Debian);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let shop = rusqlite::Connection::open(&path).unwrap();
    shop.execute_batch(
        "CREATE TABLE t(k TEXT PRIMARY KEY NOT NULL, v TEXT); INSERT INTO t VALUES ('a', 'x'), ('b' || char(0), 'y')",
    )
    .unwrap();
    let pair = Pair::new(End::Sqlite(path), End::Postgres(server.url("till")));
    assert_eq!(block_on(pair.sync()).unwrap().held.len(), 1);
    shop.execute_batch("DELETE FROM t WHERE v = 'y'; UPDATE t SET v = 'z'").unwrap();
    sync(&pair);
    assert_eq!(server.execute_in("till", "SELECT k, v FROM t").unwrap().trim(), "a|z");
}

#[test]
fn swapped_unique_values_and_keys_arrive() {
    let server = server(Release::Newest);
    server
        .execute_in(
            "shop",
            "CREATE TABLE t(id int PRIMARY KEY, code text UNIQUE DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO t SELECT i, 'c' || i FROM generate_series(1, 100) i",
        )
        .unwrap();
    server.execute_in("till", "CREATE TABLE t(id int PRIMARY KEY, code text UNIQUE)").unwrap();
    sync(&pair(&server));
    server.execute_in("shop", "BEGIN; UPDATE t SET code = 'x' WHERE id = 1; UPDATE t SET code = 'c1' WHERE id = 2; UPDATE t SET code = 'c2' WHERE id = 1; COMMIT; \
         UPDATE t SET code = 'c' || (CASE id % 2 WHEN 0 THEN id - 1 ELSE id + 1 END) WHERE id BETWEEN 11 AND 60").unwrap();
    sync(&pair(&server));
    same(&server, "t");
}

#[test]
fn a_large_transaction_is_carried_in_parts() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id bigint PRIMARY KEY, pad text)").unwrap();
    sync(&pair(&server));
    server.execute_in("shop", "BEGIN; INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 60000) i; \
         UPDATE t SET pad = 'y' WHERE id % 3 = 0; TRUNCATE t; INSERT INTO t SELECT i, 'z' FROM generate_series(1, 30000) i; \
         DELETE FROM t WHERE id % 2 = 0; COMMIT").unwrap();
    let report = sync(&pair(&server));
    assert_eq!(report.compared, 0, "{report:?}");
    same(&server, "t");
}

#[test]
fn a_column_that_comes_is_added_and_one_that_goes_halts_its_table_alone() {
    let server = server(Release::Newest);
    server
        .execute_in(
            "shop",
            "CREATE TABLE t(id int PRIMARY KEY, a text); CREATE TABLE u(id int PRIMARY KEY, a text, b text); \
         INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1, 'a', 'b')",
        )
        .unwrap();
    sync(&pair(&server));
    server
        .execute_in(
            "shop",
            "INSERT INTO t VALUES (2, 'b'); ALTER TABLE t ADD COLUMN c int DEFAULT 7; INSERT INTO t VALUES (3, 'c', 8)",
        )
        .unwrap();
    let report = sync(&pair(&server));
    assert_eq!(report.added, [("t".to_owned(), "c".to_owned())]);
    same(&server, "t");
    server.execute_in("shop", "INSERT INTO u VALUES (2, 'x', 'y'); ALTER TABLE u DROP COLUMN b; INSERT INTO u VALUES (3, 'z'); INSERT INTO t VALUES (4, 'd', 9)").unwrap();
    let report = block_on(pair(&server).sync()).unwrap();
    assert!(report.needs_attention() && report.halted.contains_key("u"), "{report:?}");
    same(&server, "t");
}

#[test]
fn a_value_that_does_not_fit_is_held_and_the_others_go_on() {
    let server = server(Release::Debian);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let shop = rusqlite::Connection::open(&path).unwrap();
    shop.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, s TEXT); INSERT INTO t VALUES (1, 1, 'a'), (2, 'two', 'b'), (3, 3, 'c' || char(0) || 'd'), (4, 4, 'e')").unwrap();
    let pair = Pair::new(End::Sqlite(path), End::Postgres(server.url("till")));
    let report = block_on(pair.sync()).unwrap();
    assert!(report.needs_attention(), "{report:?}");
    let held: Vec<String> = report.held.iter().map(|held| format!("{}: {}", held.key, held.reason)).collect();
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(held[0].contains("column n is bigint here and holds text at the source"), "{held:?}");
    assert_eq!(server.execute_in("till", "SELECT string_agg(id::text, ',' ORDER BY id) FROM t").unwrap().trim(), "1,4");
    shop.execute_batch("UPDATE t SET n = 2 WHERE id = 2; UPDATE t SET s = 'c' WHERE id = 3").unwrap();
    sync(&pair);
    assert_eq!(
        server.execute_in("till", "SELECT string_agg(id || s, ',' ORDER BY id) FROM t").unwrap().trim(),
        "1a,2b,3c,4e"
    );
}

#[test]
fn a_filter_is_followed_also_where_rows_come_into_it_and_leave_it() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY, store int, n int); INSERT INTO t SELECT i, i % 3, 0 FROM generate_series(1, 90) i").unwrap();
    let filter = Filter::parse("store = 1", &std::collections::BTreeMap::new()).unwrap();
    let special = TableScope { filter: Some(filter), ..TableScope::default() };
    let scope = Scope { special: [("t".to_owned(), special)].into(), ..Scope::default() };
    let pair = pair(&server).with(Settings { scope, ..Settings::default() });
    sync(&pair);
    server.execute_in("shop", "UPDATE t SET store = 1 WHERE id = 2; UPDATE t SET store = 2, n = 5 WHERE id = 1; DELETE FROM t WHERE id = 4; UPDATE t SET n = 9 WHERE store = 1").unwrap();
    assert_eq!(sync(&pair).compared, 0);
    let rows = |database: &str, condition: &str| {
        server
            .execute_in(database, &format!("SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM t WHERE {condition}"))
            .unwrap()
    };
    assert_eq!(rows("shop", "store = 1"), rows("till", "true"));
}

#[test]
fn first_contact_refuses_and_what_it_replaced_can_be_put_back() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY, a text, raw bytea); INSERT INTO t SELECT i, 'shop', '\\x00ff' FROM generate_series(1, 100) i").unwrap();
    server.execute_in("till", "CREATE TABLE t(id int PRIMARY KEY, a text, raw bytea, own text); INSERT INTO t SELECT i, 'till', '\\x01', 'mine' FROM generate_series(51, 120) i").unwrap();
    let before = server.execute_in("till", "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM t").unwrap();
    let error = block_on(pair(&server).sync()).unwrap_err();
    assert_eq!(error.code, code::FIRST_CONTACT_DIFFERS, "{error}");
    assert_eq!(server.execute_in("till", "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM t").unwrap(), before);
    let mirror = pair(&server).with(Settings { existing: Existing::Mirror, ..Settings::default() });
    let report = sync(&mirror);
    assert_eq!(report.journaled, 70, "{report:?}");
    assert_eq!(server.execute_in("till", "SELECT count(*), count(own), min(a) FROM t").unwrap().trim(), "100|50|shop");
    let env = tidewater_core::env::Env::real();
    let settings = tidewater_postgres::Settings::parse(&server.url("till")).unwrap();
    let restored = block_on(async {
        let mut target =
            tidewater_postgres::PostgresTarget::open(&settings, tidewater_postgres::Access::Write, &env).await?;
        target.restore(&report.run).await
    });
    assert_eq!(restored.unwrap(), 70);
    let rows = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM t WHERE id > 50";
    assert_eq!(server.execute_in("till", rows).unwrap(), before);
}

#[test]
fn a_slot_that_is_gone_is_noticed_and_only_what_differs_is_sent() {
    let server = server(Release::Newest);
    server
        .execute_in(
            "shop",
            "CREATE TABLE t(id int PRIMARY KEY, a text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 5000) i",
        )
        .unwrap();
    sync(&pair(&server));
    // The server takes a moment to notice that nobody reads it any more.
    let dropped = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    until(|| server.execute_in("shop", dropped).is_ok());
    let changed = "UPDATE t SET a = 'b' WHERE id = 7; DELETE FROM t WHERE id = 8; INSERT INTO t VALUES (9000, 'c')";
    server.execute_in("shop", changed).unwrap();
    let report = sync(&pair(&server));
    assert_eq!((report.compared, report.mended, report.removed), (5000, 2, 1), "{report:?}");
    assert!(report.notices.iter().any(|notice| notice.contains("replication slot is gone")), "{report:?}");
    same(&server, "t");
}

#[test]
fn nothing_is_written_where_another_place_is_stored_than_was_stored_last() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    sync(&pair(&server));
    let till = |sql: &str| server.execute_in("till", sql).unwrap().trim().to_owned();
    let stored = "SELECT position FROM tidewater.link";
    let earlier = till(stored);
    let stop = pair(&server).watching();
    let written = |id: u32| {
        server.execute_in("shop", &format!("INSERT INTO t VALUES ({id})")).unwrap();
        until(|| till(&format!("SELECT count(*) FROM t WHERE id = {id}")) == "1");
    };
    written(2);
    until(|| till(stored) != earlier);
    // As another one that went on from there would leave it.
    till(&format!("UPDATE tidewater.link SET position = '{earlier}'"));
    written(3);
    until(|| till(stored) != earlier);
    stop();
    same(&server, "t");
}

#[test]
fn a_run_that_ends_leaves_no_slot_behind_unless_asked() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY)").unwrap();
    let slots = || server.execute_in("shop", "SELECT count(*) FROM pg_replication_slots").unwrap().trim().to_owned();
    let report = sync(&pair(&server).with(Settings { keeps_log: false, ..Settings::default() }));
    assert!(slots() == "0" && report.notices.iter().any(|notice| notice.contains("--keep-slot")), "{report:?}");
    sync(&pair(&server));
    assert_eq!(slots(), "1");
    // Where the server itself lets go of its log, the slot is no danger.
    server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'").unwrap();
    server.execute("SELECT pg_reload_conf()").unwrap();
    super::given::until(|| server.execute("SHOW max_slot_wal_keep_size").unwrap().trim() == "1GB");
    sync(&pair(&server).with(Settings { keeps_log: false, ..Settings::default() }));
    assert_eq!(slots(), "1");
}

/// Programs that write without a pause, until they are told to stop.
fn writers(url: &str) -> impl FnOnce() + use<> {
    let stop = Arc::new(AtomicBool::new(false));
    let start = |_| {
        let (url, stop) = (url.to_owned(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let many = "INSERT INTO t(n) VALUES (1); COMMIT; ".repeat(2_000);
                super::given::psql(&url, &format!("SET synchronous_commit = off; BEGIN; {many}")).unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..3).map(start).collect();
    move || {
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    }
}

#[test]
fn a_run_ends_also_while_others_write_all_the_time() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id serial PRIMARY KEY, n int)").unwrap();
    let rows = || server.execute_in("shop", "SELECT count(*) FROM t").unwrap().trim().parse::<u64>().unwrap();
    for _ in 0..3 {
        // Each round begins with nothing left over: where programs write faster than the engine carries, what waits
        // for one run grows with the length of the run before.
        let before = rows();
        let stop = writers(&server.url("shop"));
        super::given::until(|| rows() > before);
        let report = block_on(pair(&server).sync()).unwrap();
        assert!(report.in_step && report.seconds < 20.0, "{report:?}");
        stop();
        sync(&pair(&server));
    }
    same(&server, "t");
}

#[test]
fn what_a_newer_version_keeps_is_refused() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY)").unwrap();
    sync(&pair(&server));
    server.execute_in("till", "UPDATE tidewater.control SET format = 99").unwrap();
    let error = refused(&pair(&server));
    assert_eq!(error.code, code::FORMAT, "{error}");
}

#[test]
fn teardown_leaves_no_trace() {
    let server = server(Release::Newest);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)").unwrap();
    let report = sync(&pair(&server));
    block_on(pair(&server).leave(&report.link));
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication) + \
                (SELECT count(*) FROM pg_namespace WHERE nspname = 'tidewater')";
    for database in ["shop", "till"] {
        assert_eq!(server.execute_in(database, left).unwrap().trim(), "0");
    }
    assert_eq!(server.execute_in("till", "SELECT count(*) FROM t").unwrap().trim(), "1");
}

/// A commit that waits for a synchronous standby is in the log, and nobody sees it: a copy that begins then must not
/// miss it.
#[test]
fn a_commit_that_waits_for_a_standby_is_not_missed() {
    let server = server(Release::Debian);
    server
        .execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)")
        .unwrap();
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").unwrap();
    server.execute("ALTER SYSTEM SET synchronous_commit = 'local'").unwrap();
    server.execute("SELECT pg_reload_conf()").unwrap();
    super::given::until(|| server.execute("SHOW synchronous_standby_names").unwrap().trim() == "nobody");
    let url = server.url("shop");
    let insert = "SET synchronous_commit = on; INSERT INTO t VALUES (11)";
    let waiting = std::thread::spawn(move || super::given::psql(&url, insert));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    super::given::until(|| server.execute(waits).unwrap().trim() == "1");
    let (source, target) = (server.url("shop"), tempfile::tempdir().unwrap());
    let local = target.path().join("local.db");
    let copying = {
        let local = local.clone();
        std::thread::spawn(move || block_on(Pair::new(End::Postgres(source), End::Sqlite(local)).sync()))
    };
    // The engine waits for that transaction before it copies: then the standby is given up.
    let begun = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active' \
                 AND query ~ 'pg_create_logical_replication_slot|pg_snapshot_xmin'";
    super::given::until(|| server.execute(begun).unwrap().trim() == "1");
    assert!(!copying.is_finished());
    server.execute("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
    server.execute("SELECT pg_reload_conf()").unwrap();
    waiting.join().unwrap().unwrap();
    copying.join().unwrap().unwrap();
    let rows: i64 =
        rusqlite::Connection::open(&local).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 11);
}

fn refused(pair: &Pair) -> Error {
    block_on(pair.sync()).unwrap_err()
}

#[test]
fn what_a_server_lacks_is_said_with_what_to_do() {
    let server = Postgres::start_with(&Setup::new(Release::Debian).set("wal_level", "replica")).unwrap();
    for sql in ["CREATE DATABASE shop", "CREATE DATABASE till", "CREATE ROLE ana LOGIN"] {
        server.execute(sql).unwrap();
    }
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY); GRANT SELECT ON t TO ana").unwrap();
    let error = refused(&pair(&server));
    assert_eq!(error.code, code::SERVER_SETTING, "{error}");
    assert!(error.remedy.contains("ALTER SYSTEM SET wal_level = logical"), "{error}");
    let as_ana = server.url("till").replace("postgres@", "ana@");
    let source = End::Postgres(server.url("shop"));
    let error = refused(&Pair::new(source, End::Postgres(as_ana)).once());
    assert_eq!(error.code, code::PRIVILEGE, "{error}");
    let nowhere = End::Postgres("postgres://postgres@127.0.0.1:1/shop".to_owned());
    let error = refused(&Pair::new(nowhere, End::Postgres(server.url("till"))));
    assert_eq!(error.code, code::UNREACHABLE, "{error}");
}

#[test]
fn a_wrong_password_is_said_and_never_shown() {
    let server = Postgres::start_with(&Setup::new(Release::Debian).access(Access::Password("scram-sha-256"))).unwrap();
    let url = server.url("postgres").replace("postgres@", "postgres:wrong-secret@");
    let error = refused(&Pair::new(End::Postgres(url.clone()), End::Postgres(url)));
    assert_eq!(error.code, code::SIGN_IN, "{error}");
    assert!(!error.to_string().contains("wrong-secret"), "{error}");
}

#[test]
fn tables_that_the_log_cannot_tell_rows_of_are_refused_with_the_statement_that_mends_it() {
    let server = server(Release::Debian);
    server.execute_in("shop", "CREATE TABLE t(id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING; CREATE UNLOGGED TABLE u(id int PRIMARY KEY); \
         CREATE TABLE nokey(a int); CREATE TABLE k(a int NOT NULL UNIQUE, b int)").unwrap();
    let only = |name: &str| {
        let scope = Scope { tables: vec![Pattern::new(name)], ..Scope::default() };
        pair(&server).with(Settings { scope, ..Settings::default() })
    };
    for (table, wanted) in
        [("t", "REPLICA IDENTITY DEFAULT"), ("u", "SET LOGGED"), ("k", "REPLICA IDENTITY USING INDEX")]
    {
        let error = refused(&only(table));
        assert_eq!(error.code, code::REPLICA_IDENTITY, "{error}");
        assert!(error.remedy.contains(wanted), "{error}");
    }
    let error = refused(&only("nokey"));
    assert!(error.to_string().contains("no primary key"), "{error}");
    let slots = server.execute_in("shop", "SELECT count(*) FROM pg_replication_slots").unwrap();
    assert_eq!(slots.trim(), "0", "nothing is left of a refusal");
}

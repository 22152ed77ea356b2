//! What others do to a source's slot and its server, and what a server has no room or right for: said, and mended.

use super::given::{End, Pair, block_on, server, until};
use tidewater_core::link::Report;
use tidewater_core::{Error, code};
use tidewater_testing::{Postgres, Release, Setup};

fn pair(server: &Postgres) -> Pair {
    Pair::new(End::Postgres(server.url("shop")), End::Postgres(server.url("till")))
}

fn shop(server: &Postgres, sql: &str) -> String {
    server.execute_in("shop", sql).unwrap().trim().to_owned()
}

#[track_caller]
fn sync(server: &Postgres) -> Report {
    let report = block_on(pair(server).sync()).unwrap();
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    let sql = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM t";
    assert_eq!(shop(server, sql), server.execute_in("till", sql).unwrap().trim());
    report
}

fn refused(pair: &Pair) -> Error {
    block_on(pair.sync()).unwrap_err()
}

const ROWS: &str =
    "CREATE TABLE t(id int PRIMARY KEY, a text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 500) i";

fn prepared(setup: &Setup) -> Postgres {
    let server = Postgres::start_with(setup).unwrap();
    server.execute("CREATE DATABASE shop").unwrap();
    server.execute("CREATE DATABASE till").unwrap();
    shop(&server, ROWS);
    server
}

#[test]
fn a_slot_that_is_dropped_under_a_watcher_is_made_again() {
    let server = prepared(&Setup::new(Release::Debian));
    let stop = pair(&server).watching();
    let arrived = |id: u32| {
        let sql = format!("SELECT count(*) FROM t WHERE id = {id}");
        until(|| server.execute_in("till", &sql).is_ok_and(|found| found.trim() == "1"));
    };
    shop(&server, "INSERT INTO t VALUES (1000, 'before')");
    arrived(1000);
    // Now and then that is between two looks of the watcher's: at the slot, and at where to read on.
    for id in 1001..1006 {
        until(|| {
            // The watcher is quick to come back, so both happen in one statement, or are tried again.
            let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active; \
                       SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
            server.execute_in("shop", sql).is_ok()
        });
        shop(&server, &format!("INSERT INTO t VALUES ({id}, 'after'); DELETE FROM t WHERE id = {}", id - 1000));
        arrived(id);
    }
    stop();
    assert_eq!(sync(&server).compared, 0);
}

#[test]
fn a_slot_that_the_server_gave_up_is_told_and_made_again() {
    let setup = Setup::new(Release::Newest).set("max_slot_wal_keep_size", "1MB").set("min_wal_size", "32MB");
    let server = prepared(&setup.set("max_wal_size", "32MB"));
    sync(&server);
    shop(&server, "UPDATE t SET a = 'b' WHERE id = 9");
    until(|| {
        shop(
            &server,
            "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 30000); DROP TABLE filler",
        );
        shop(&server, "SELECT pg_switch_wal()");
        shop(&server, "CHECKPOINT");
        shop(&server, "SELECT wal_status FROM pg_replication_slots") == "lost"
    });
    let report = sync(&server);
    assert_eq!((report.compared, report.mended), (500, 1), "{report:?}");
    assert!(report.notices.iter().any(|notice| notice.contains("max_slot_wal_keep_size")), "{report:?}");
    shop(&server, "UPDATE t SET a = 'c' WHERE id = 9");
    assert_eq!(sync(&server).compared, 0);
}

#[test]
fn a_server_without_a_free_slot_is_said_with_the_setting() {
    let server = prepared(&Setup::new(Release::Debian).set("max_replication_slots", "1"));
    shop(&server, "SELECT pg_create_physical_replication_slot('other')");
    let error = refused(&pair(&server));
    assert_eq!(error.code, code::LIMIT, "{error}");
    assert!(error.remedy.contains("max_replication_slots"), "{error}");
    shop(&server, "SELECT pg_drop_replication_slot('other')");
    sync(&server);
}

#[test]
fn a_slot_of_our_name_that_is_not_ours_is_left_alone() {
    let server = prepared(&Setup::new(Release::Debian));
    let report = sync(&server);
    let name = format!("tidewater_{}", report.link);
    for (database, plugin) in [("shop", "test_decoding"), ("till", "pgoutput")] {
        shop(&server, &format!("SELECT pg_drop_replication_slot('{name}')"));
        let made = format!("SELECT pg_create_logical_replication_slot('{name}', '{plugin}')");
        server.execute_in(database, &made).unwrap();
        let error = refused(&pair(&server));
        assert_eq!(error.code, code::SERVER_SETTING, "{error}");
        assert!(error.what.contains(&name) && error.remedy.contains("pg_drop_replication_slot"), "{error}");
        let there = format!("{database}|{plugin}");
        assert_eq!(shop(&server, "SELECT database, plugin FROM pg_replication_slots"), there);
    }
    shop(&server, "SELECT 1");
    server.execute_in("till", &format!("SELECT pg_drop_replication_slot('{name}')")).unwrap();
    sync(&server);
}

#[test]
fn rights_that_are_missing_are_said_with_the_statement() {
    let server = prepared(&Setup::new(Release::Debian));
    for sql in ["CREATE ROLE ana LOGIN", "GRANT CREATE ON DATABASE shop TO ana", "ALTER TABLE t OWNER TO ana"] {
        shop(&server, sql);
    }
    let as_ana = |database: &str| End::Postgres(server.url(database).replace("postgres@", "ana@"));
    let error = refused(&Pair::new(as_ana("shop"), End::Postgres(server.url("till"))));
    assert!(error.code == code::PRIVILEGE && error.remedy.contains("ALTER ROLE"), "{error}");
    let error = refused(&Pair::new(End::Postgres(server.url("shop")), as_ana("till")));
    assert!(error.code == code::PRIVILEGE && error.remedy.contains("CREATE on the database"), "{error}");
}

#[test]
fn a_transaction_that_is_prepared_before_a_copy_is_not_missed() {
    let server = prepared(&Setup::new(Release::Debian));
    shop(
        &server,
        "BEGIN; INSERT INTO t VALUES (2000, 'prepared'); DELETE FROM t WHERE id = 5; PREPARE TRANSACTION 'p'",
    );
    let url = (server.url("shop"), server.url("till"));
    let copying =
        std::thread::spawn(move || block_on(Pair::new(End::Postgres(url.0), End::Postgres(url.1)).sync()).unwrap());
    let begun = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'pg_create_logical'";
    until(|| shop(&server, begun) == "1");
    assert!(!copying.is_finished());
    shop(&server, "COMMIT PREPARED 'p'");
    copying.join().unwrap();
    sync(&server);
}

#[test]
fn a_table_that_others_lock_is_waited_for() {
    let server = server(Release::Debian);
    shop(&server, ROWS);
    sync(&server);
    for (database, held) in [("till", "SELECT 1"), ("shop", "INSERT INTO t VALUES (3000, 'x')")] {
        shop(&server, &format!("UPDATE t SET a = '{database}'"));
        let url = server.url(database);
        let lock = format!("BEGIN; {held}; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT");
        let locking = std::thread::spawn(move || super::given::psql(&url, &lock));
        let locked = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND wait_event = 'PgSleep'";
        until(|| shop(&server, locked) == "1");
        let report = block_on(pair(&server).sync()).unwrap();
        assert!(report.in_step && report.compared == 0, "{report:?}");
        locking.join().unwrap().unwrap();
        sync(&server);
    }
}

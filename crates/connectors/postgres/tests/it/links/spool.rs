//! A target server that is away while programs write and engines are killed: the source's server is let go of its log,
//! and when the target is back nothing is missing, nothing there twice, and nothing was compared.

use super::given::{End, Pair, block_on, psql, server, until};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tidewater_core::env::Env;
use tidewater_core::link::{Full, Settings, SpoolSettings};
use tidewater_core::transport::Spool;
use tidewater_testing::{Postgres, Release};

const SOURCE: &str = "TIDEWATER_TEST_PG_SPOOL_SOURCE";
const TARGET: &str = "TIDEWATER_TEST_PG_SPOOL_TARGET";
const FOLDER: &str = "TIDEWATER_TEST_PG_SPOOL_FOLDER";

fn pair(source: &str, target: &str, folder: &Path) -> Pair {
    let spool =
        SpoolSettings { folder: folder.into(), bytes_max: SpoolSettings::BYTES_MAX_DEFAULT, full: Full::default() };
    let settings = Settings { spool: Some(spool), ..Settings::default() };
    Pair::new(End::Postgres(source.to_owned()), End::Postgres(target.to_owned())).with(settings)
}

/// An engine that runs until it is killed; only what the test below starts.
#[test]
fn engine_with_a_spool() {
    let variable = std::env::var;
    let (Ok(source), Ok(target), Ok(folder)) = (variable(SOURCE), variable(TARGET), variable(FOLDER)) else { return };
    block_on(pair(&source, &target, Path::new(&folder)).watch());
}

fn engine(source: &str, target: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "links::spool::engine_with_a_spool", "--nocapture"])
        .env(SOURCE, source)
        .env(TARGET, target)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn asked(server: &Postgres, sql: &str) -> u64 {
    server.execute_in("shop", sql).unwrap().trim().parse().unwrap_or(0)
}

/// Bytes of the log that the slot has not been let go of.
fn unconfirmed(shop: &Postgres) -> u64 {
    asked(
        shop,
        "SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint FROM pg_replication_slots WHERE slot_name LIKE 'tidewater%'",
    )
}

/// Bytes of the log that the server keeps for the slot. Where it may begin to forget is noted with running
/// transactions, which a checkpoint writes down.
fn retained(shop: &Postgres) -> u64 {
    shop.execute_in("shop", "CHECKPOINT").unwrap();
    asked(
        shop,
        "SELECT (pg_current_wal_lsn() - restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name LIKE 'tidewater%'",
    )
}

fn count(server: &Postgres, database: &str) -> String {
    server.execute_in(database, "SELECT count(*) FROM items").unwrap_or_default().trim().to_owned()
}

fn sums(server: &Postgres, database: &str) -> String {
    let sql = "SELECT count(*), sum(n), md5(string_agg(i::text, ',' ORDER BY id)) FROM items i";
    server.execute_in(database, sql).unwrap()
}

/// Writes of every kind: a large transaction that is carried in parts, small ones, a key that changes, large values that
/// stay as they are, a rollback.
fn write(url: &str, round: u64) {
    let from = round * 100_000;
    let large =
        format!("INSERT INTO items SELECT {from} + i, i, repeat(md5(i::text), 20) FROM generate_series(1, 12000) i");
    psql(url, &large).unwrap();
    for small in 0..30 {
        let id = from + small * 7 + 1;
        psql(
            url,
            &format!(
                "BEGIN; UPDATE items SET n = n + 1 WHERE id = {id}; DELETE FROM items WHERE id = {id} + 2; COMMIT"
            ),
        )
        .unwrap();
        psql(url, &format!("UPDATE items SET id = -id WHERE id = {id} + 3")).unwrap();
    }
    psql(url, &format!("BEGIN; DELETE FROM items WHERE id > {from}; ROLLBACK")).unwrap();
    psql(url, &format!("UPDATE items SET n = 7 WHERE id % 5 = 0 AND id > {from}")).unwrap();
}

#[test]
fn a_target_that_is_away_lets_the_servers_log_go_and_nothing_is_lost_when_it_is_back() {
    let shop = server(Release::Debian);
    let mut till = server(Release::Debian);
    let folder = tempfile::tempdir().unwrap();
    shop.execute_in("shop", "CREATE TABLE items(id bigint PRIMARY KEY, n bigint, pad text)").unwrap();
    let (source, target) = (shop.url("shop"), till.url("till"));
    write(&source, 1);

    let mut running = engine(&source, &target, folder.path());
    until(|| count(&till, "till") == count(&shop, "shop"));
    psql(&source, "INSERT INTO items VALUES (0, 0, repeat('x', 9000))").unwrap();
    until(|| count(&till, "till") == count(&shop, "shop"));
    till.kill9();

    for round in 2..8 {
        write(&source, round);
        if round % 2 == 0 {
            running.kill().unwrap();
            running.wait().unwrap();
            running = engine(&source, &target, folder.path());
        }
    }
    let end = asked(&shop, "SELECT (pg_current_wal_lsn() - '0/0')::bigint");
    until(|| {
        asked(
            &shop,
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name LIKE 'tidewater%'",
        ) >= end
    });
    assert!(unconfirmed(&shop) < 4 << 20, "the log goes on without the target");
    // The segment that is written, and little more.
    until(|| retained(&shop) < 20 << 20);
    let spooled = Spool::cards(&Env::real().disk, folder.path()).unwrap();
    let status = Spool::look(&Env::real().disk, folder.path(), &spooled[0].link).unwrap().unwrap();
    assert!(status.bytes > 10 << 20, "it is in the spool: {status:?}");

    // Killed while what was spooled is applied, and again.
    till.restart().unwrap();
    for _ in 0..4 {
        let before = count(&till, "till");
        until(|| {
            let now = count(&till, "till");
            now != before || now == count(&shop, "shop")
        });
        running.kill().unwrap();
        running.wait().unwrap();
        running = engine(&source, &target, folder.path());
    }
    running.kill().unwrap();
    running.wait().unwrap();
    write(&source, 9);
    let report = block_on(async { pair(&source, &target, folder.path()).sync().await.unwrap() });
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    assert_eq!(report.compared, 0, "an absence is no reason to compare: {report:?}");
    assert_eq!(sums(&shop, "shop"), sums(&till, "till"));
    assert_eq!(block_on(async { pair(&source, &target, folder.path()).differences().await }), Vec::<String>::new());
    let status = Spool::look(&Env::real().disk, folder.path(), &spooled[0].link).unwrap().unwrap();
    assert_eq!(status.bytes, 0, "what was applied is gone");
}

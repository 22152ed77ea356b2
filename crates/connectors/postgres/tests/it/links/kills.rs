//! Engines and servers that are killed at any moment, while programs write: nothing acknowledged is lost, nothing comes
//! twice, and no comparison is needed to find out.

use super::given::{End, Pair, block_on, server};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidewater_testing::{Postgres, Release};

const SOURCE: &str = "TIDEWATER_TEST_PG_SOURCE";
const TARGET: &str = "TIDEWATER_TEST_PG_TARGET";
const ROUNDS: u64 = 25;

/// An engine that runs until it is killed; only what the tests below start.
#[test]
fn engine_of_the_kill_loop() {
    let (Ok(source), Ok(target)) = (std::env::var(SOURCE), std::env::var(TARGET)) else { return };
    let end = |text: String| match text.strip_prefix("sqlite:") {
        Some(path) => End::Sqlite(path.into()),
        None => End::Postgres(text),
    };
    let pair = Pair::new(end(source), end(target));
    block_on(pair.watch());
}

pub(super) fn engine(source: &str, target: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "links::kills::engine_of_the_kill_loop", "--nocapture"])
        .env(SOURCE, source)
        .env(TARGET, target)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A program that writes as fast as it may, in transactions of its own; says what was acknowledged.
fn writer(url: String, name: u64, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<i64>> {
    std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        let mut at = 0i64;
        while !stop.load(Ordering::Relaxed) {
            at += 1;
            let id = name as i64 * 1_000_000 + at;
            let sql = format!(
                "BEGIN; INSERT INTO items SELECT {id}, 'w{name}', {at}, repeat('x', (random() * 3000)::int); \
                 UPDATE items SET n = n + 1 WHERE id = (SELECT id FROM items WHERE writer = 'w{name}' ORDER BY random() LIMIT 1); \
                 SAVEPOINT s; INSERT INTO items VALUES (-{id}, 'gone', 0, NULL); ROLLBACK TO s; \
                 DELETE FROM items WHERE id = {id} - 7; COMMIT"
            );
            if super::given::psql(&url, &sql).is_ok() {
                acknowledged.push(id);
            }
        }
        acknowledged
    })
}

fn sums(server: &Postgres, database: &str) -> String {
    let sql = "SELECT count(*), sum(n), md5(string_agg(i::text, ',' ORDER BY id)) FROM items i";
    server.execute_in(database, sql).unwrap()
}

/// Kills the engine again and again, and now and then a server; then everything is there.
fn survives(release: Release, kill_server: bool) {
    let mut shop = server(release);
    let mut till = server(release);
    shop.execute_in(
        "shop",
        "CREATE TABLE items(id bigint PRIMARY KEY, writer text, n bigint, pad text); \
         INSERT INTO items SELECT i, 'before', i, 'x' FROM generate_series(1, 5000) i",
    )
    .unwrap();
    let (source, target) = (shop.url("shop"), till.url("till"));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (1..=2).map(|name| writer(source.clone(), name, stop.clone())).collect();
    let mut kills = 0;
    for round in 0..ROUNDS {
        let mut child = engine(&source, &target);
        // Times that differ from round to round, so that the engine is met in each of its phases.
        let until = Instant::now() + Duration::from_millis(40 + round * 37 % 450);
        super::given::wait_until(until);
        if kill_server && round % 8 == 3 {
            shop.kill9();
            shop.restart().unwrap();
        }
        if kill_server && round % 8 == 7 {
            till.kill9();
            till.restart().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<i64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert!(acknowledged.len() > 50, "only {} transactions in {kills} rounds", acknowledged.len());
    let pair = Pair::new(End::Postgres(source), End::Postgres(target));
    let report = block_on(async { pair.sync().await.unwrap() });
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    assert_eq!(report.compared, 0, "a kill is no reason to compare: {report:?}");
    assert_eq!(sums(&shop, "shop"), sums(&till, "till"));
    assert_eq!(shop.execute_in("shop", "SELECT count(*) FROM items WHERE id < 0").unwrap().trim(), "0");
}

#[test]
fn engines_are_killed_at_any_moment() {
    survives(Release::Debian, false);
}

#[test]
fn servers_and_engines_are_killed_at_any_moment() {
    survives(Release::Newest, true);
}

//! Networks that fail, at any byte: connections that are cut, and such that carry nothing any more and never close.

use super::given::{End, Pair, block_on, psql, server};
use std::time::{Duration, Instant};
use tidewater_core::env::Env;
use tidewater_core::link::Report;
use tidewater_testing::{Fault, Postgres, Proxy, Release};

const CUTS: u64 = 40;
/// As short as settings allow.
const LIMIT: &str = "network_timeout=3&connect_timeout=2";

/// The URL of a database, by way of a proxy.
fn by(proxy: &Proxy, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{}/{database}?{LIMIT}", proxy.port())
}

struct Given {
    server: Postgres,
    to_source: Proxy,
    to_target: Proxy,
}

impl Given {
    fn new(release: Release) -> Self {
        let server = server(release);
        let proxy = || Proxy::before(server.port()).unwrap();
        let (to_source, to_target) = (proxy(), proxy());
        let sql = "CREATE TABLE t(id bigint PRIMARY KEY, n int, pad text); \
                   INSERT INTO t SELECT i, 0, repeat('x', i % 300) FROM generate_series(1, 2000) i";
        server.execute_in("shop", sql).unwrap();
        Self { server, to_source, to_target }
    }

    fn pair(&self) -> Pair {
        Pair::new(End::Postgres(by(&self.to_source, "shop")), End::Postgres(by(&self.to_target, "till")))
    }

    #[track_caller]
    fn same(&self) {
        let sql = "SELECT count(*), sum(n), md5(string_agg(t::text, '|' ORDER BY id)) FROM t";
        let at = |database: &str| self.server.execute_in(database, sql).unwrap();
        assert_eq!(at("shop"), at("till"));
    }

    fn heal(&self) {
        self.to_source.heal();
        self.to_target.heal();
    }
}

/// Changes of every kind, of round `round`; each counted once by `n`.
fn change(url: &str, round: i64) {
    let sql = format!(
        "BEGIN; UPDATE t SET n = n + 1, pad = repeat('y', (id % 200)::int) WHERE id % 7 = {round} % 7; SAVEPOINT s; \
         DELETE FROM t; ROLLBACK TO s; INSERT INTO t SELECT 100000 + {round} * 1000 + i, i, 'new' FROM generate_series(1, 300) i; \
         DELETE FROM t WHERE id % 1000 = {round}; COMMIT"
    );
    psql(url, &sql).unwrap();
}

#[test]
fn connections_are_cut_at_any_byte() {
    let given = Given::new(Release::Debian);
    let (random, url) = (Env::seeded(11).random, given.server.url("shop"));
    let (mut failures, mut happened) = (0, 0);
    for round in 0..CUTS {
        change(&url, round as i64);
        let proxy = if round % 2 == 0 { &given.to_source } else { &given.to_target };
        // Often early, where connections are opened and tables looked at; often among the rows.
        let most = [3_000, 60_000, 300_000][round as usize / 2 % 3];
        proxy.after(random.bits() % most, Fault::Cut);
        match block_on(given.pair().sync()) {
            Ok(report) => assert_eq!(report.compared, 0, "a cut is no reason to compare: {report:?}"),
            Err(error) => {
                assert_eq!(error.kind, tidewater_core::Kind::Unavailable, "{error}");
                failures += 1;
            }
        }
        happened += u64::from(proxy.has_happened());
        given.heal();
    }
    assert!(happened > CUTS / 2, "only {happened} cuts happened; {failures} runs failed");
    let report = block_on(given.pair().sync()).unwrap();
    assert!(report.in_step && report.compared == 0, "{report:?}");
    given.same();
}

/// Runs a sync for as long as it takes, and no longer than a dead network may last.
fn bounded(pair: &Pair) -> Result<Report, tidewater_core::Error> {
    let began = Instant::now();
    let done = block_on(pair.sync());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}: {done:?}", began.elapsed());
    done
}

#[test]
fn a_network_that_carries_nothing_and_never_closes_is_noticed() {
    let given = Given::new(Release::Newest);
    let (random, url) = (Env::seeded(5).random, given.server.url("shop"));
    let mut happened = 0;
    for round in 0..6 {
        change(&url, round);
        let proxy = if round % 2 == 0 { &given.to_source } else { &given.to_target };
        let most = [8_000, 40_000, 200_000][round as usize / 2 % 3];
        proxy.after(random.bits() % most, Fault::Stall);
        let done = bounded(&given.pair());
        // What a dead connection was doing is taken up by the next one.
        if let Err(error) = &done {
            assert_eq!(error.kind, tidewater_core::Kind::Unavailable, "{error}");
        }
        happened += u64::from(proxy.has_happened());
        given.heal();
    }
    assert!(happened > 3, "{happened}");
    let report = bounded(&given.pair()).unwrap();
    assert!(report.in_step, "{report:?}");
    given.same();
}

#[test]
fn a_statement_that_takes_long_is_waited_for() {
    let given = Given::new(Release::Debian);
    block_on(given.pair().sync()).unwrap();
    given.server.execute_in("till", "ALTER TABLE t ADD x int; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql \
         AS 'BEGIN IF new.id = 1 THEN PERFORM pg_sleep(8); END IF; RETURN new; END'; CREATE TRIGGER slow BEFORE UPDATE ON t \
         FOR EACH ROW EXECUTE FUNCTION slow(); ALTER TABLE t ENABLE ALWAYS TRIGGER slow").unwrap();
    given.server.execute_in("shop", "UPDATE t SET n = 5 WHERE id = 1").unwrap();
    let report = bounded(&given.pair()).unwrap();
    assert_eq!(report.upserts, 1, "{report:?}");
    assert!(report.seconds > 7.0, "{report:?}");
}

/// A watcher meets a network that is dead for a while, in both directions, for every connection.
#[test]
fn a_watcher_goes_on_when_the_network_is_back() {
    let given = Given::new(Release::Debian);
    let (url, stop) = (given.server.url("shop"), given.pair().watching());
    let arrived = |id: i64| {
        let sql = format!("SELECT count(*) FROM t WHERE id = {id}");
        super::given::until(|| given.server.execute_in("till", &sql).is_ok_and(|found| found.trim() == "1"));
    };
    for (round, proxy) in [&given.to_source, &given.to_target].into_iter().enumerate() {
        let id = 900_000 + 2 * round as i64;
        psql(&url, &format!("INSERT INTO t VALUES ({id}, 1, 'before')")).unwrap();
        arrived(id);
        proxy.after(0, Fault::Dead);
        psql(&url, &format!("INSERT INTO t VALUES ({id} + 1, 1, 'meanwhile')")).unwrap();
        super::given::until(|| proxy.has_happened());
        super::given::wait_until(Instant::now() + Duration::from_secs(1));
        proxy.heal();
        arrived(id + 1);
    }
    stop();
    given.same();
}

//! The load of pgbench, with key updates, deletes, savepoints and large transactions beside it, while engines are
//! killed: in the end both sides are equal, by SQL and by `verify`, and `teardown` leaves nothing.

use super::given::{End, Pair, block_on, server};
use super::kills::engine;
use std::time::{Duration, Instant};
use tidewater_core::change::{Pattern, Scope};
use tidewater_core::link::Settings;
use tidewater_testing::{Postgres, Release};

/// Each client runs it as often as it is told to.
const SCRIPT: &str = "\\set aid random(1, 100000)
\\set tid random(1, 10)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
SAVEPOINT a;
DELETE FROM pgbench_tellers WHERE tid = :tid;
ROLLBACK TO a;
SAVEPOINT b; SAVEPOINT c; SAVEPOINT d; SAVEPOINT e; SAVEPOINT f; SAVEPOINT g; SAVEPOINT h; SAVEPOINT i; SAVEPOINT j;
INSERT INTO moves(what) VALUES (:aid);
ROLLBACK TO i;
INSERT INTO moves(what) VALUES (:aid + 1);
RELEASE b;
UPDATE moves SET id = id + 1000000 WHERE what = :aid + 1 AND id < 1000000;
DELETE FROM moves WHERE what % 5 = :tid % 5 AND id > 1000000;
COMMIT;
";

const TABLES: [&str; 4] = ["pgbench_accounts", "pgbench_branches", "pgbench_tellers", "moves"];

fn carries(release: Release) {
    let shop = server(release);
    let till = server(release);
    shop.run("pgbench", &["-i", "-q", "-s", "1", "shop"]).unwrap();
    let made = "CREATE TABLE moves(id bigserial PRIMARY KEY, what int); \
                ALTER SYSTEM SET logical_decoding_work_mem = '64kB'; SELECT pg_reload_conf()";
    for sql in made.split("; ") {
        shop.execute_in("shop", sql).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.sql");
    std::fs::write(&script, SCRIPT).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (source, target) = (shop.url("shop"), till.url("till"));
    let custom = format!("--file={}", script.display());
    let args = ["-n", "-c", "3", "-t", "150", &custom, "shop"];
    std::thread::scope(|scope| {
        let plain = scope.spawn(|| shop.run("pgbench", &["-N", "-n", "-c", "3", "-t", "300", "shop"]).unwrap());
        let mixed = scope.spawn(|| shop.run("pgbench", &args).unwrap());
        for round in 0..4u64 {
            let mut child = engine(&source, &target);
            super::given::wait_until(Instant::now() + Duration::from_millis(250 + 400 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            let large = format!("UPDATE pgbench_accounts SET filler = 'r{round}' WHERE aid % 25 = {round}");
            shop.execute_in("shop", &large).unwrap();
        }
        plain.join().unwrap();
        mixed.join().unwrap();
    });
    ends_equal(&shop, &till);
}

fn ends_equal(shop: &Postgres, till: &Postgres) {
    // pgbench's history has no key: as the plan says, it is left out.
    let scope = Scope { tables: TABLES.map(Pattern::new).to_vec(), ..Scope::default() };
    let ends = Pair::new(End::Postgres(shop.url("shop")), End::Postgres(till.url("till")));
    let pair = ends.with(Settings { scope, ..Settings::default() });
    let report = block_on(pair.sync()).unwrap();
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    assert_eq!(report.compared, 0, "a kill is no reason to compare: {report:?}");
    for table in TABLES {
        let sql = format!("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t");
        assert_eq!(shop.execute_in("shop", &sql).unwrap(), till.execute_in("till", &sql).unwrap(), "{table}");
    }
    assert_eq!(block_on(pair.differences()), [""; 0]);
    block_on(pair.leave(&report.link));
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication) + \
                (SELECT count(*) FROM pg_namespace WHERE nspname = 'tidewater')";
    for (server, database) in [(shop, "shop"), (till, "till")] {
        assert_eq!(server.execute_in(database, left).unwrap().trim(), "0");
    }
}

#[test]
fn the_load_of_pgbench_arrives_while_engines_are_killed() {
    carries(Release::Debian);
}

#[test]
fn the_load_of_pgbench_arrives_from_the_newest_release() {
    carries(Release::Newest);
}

//! The command under load: pgbench writes, a watcher is killed three times and started again.

use super::{SLOTS, at};
use crate::given::{an_empty_place, until};
use tidewater_testing::{Postgres, Release};

#[test]
fn a_watcher_that_is_killed_under_pgbench_loses_nothing() {
    let server = Postgres::start(Release::Debian).expect("a server");
    for database in ["shop", "till"] {
        server.execute(&format!("CREATE DATABASE {database}")).expect("a database");
    }
    server.run("pgbench", &["-i", "-q", "-s", "1", "shop"]).expect("tables");
    let place = an_empty_place();
    let (shop, till) = (server.url("shop"), server.url("till"));
    // The history has no key: `plan` says so, and a user leaves it out.
    place.tidewater(&format!("plan {shop} {till}")).exits(0).says("pgbench_history").says("no primary key");
    let watch = format!("sync {shop} {till} --watch");
    std::thread::scope(|scope| {
        let load = scope.spawn(|| server.run("pgbench", &["-N", "-n", "-c", "2", "-t", "1000", "shop"]));
        for killed in 1..=3 {
            let watcher = place.starts(&watch);
            let sum = "SELECT coalesce(sum(abs(abalance)), 0) FROM pgbench_accounts";
            let there = || server.execute_in("till", sum).ok();
            let before = there();
            until("changes at the target, or the end of the load", || there() != before || load.is_finished());
            watcher.dies();
            at(&server, "shop", &format!("UPDATE pgbench_tellers SET filler = 'killed {killed}'"));
        }
        load.join().expect("pgbench").expect("pgbench");
    });

    place.starts(&watch).in_step().gets("TERM").ends().exits(0);

    place.tidewater(&format!("verify {shop} {till}")).exits(0).says("equal");
    let sum = "SELECT count(*), sum(abalance), md5(string_agg(a::text, ',' ORDER BY aid)) FROM pgbench_accounts a";
    assert_eq!(at(&server, "shop", sum), at(&server, "till", sum));
    assert_eq!(at(&server, "till", "SELECT DISTINCT filler FROM pgbench_tellers").trim(), "killed 3");
    place.tidewater(&format!("teardown {shop} {till}")).exits(0);
    for database in ["shop", "till"] {
        assert_eq!(at(&server, database, SLOTS), "0 slots, 0 publications, 0 schemas");
    }
}

//! The spool at the command: said while the target is away, shown by `status`, announced by `plan`, taken out by
//! `teardown`. What it promises is tested in the core and with the connector.

use super::{at, given};
use crate::given::until;
use tidewater_testing::{Postgres, Release};

#[test]
fn a_spool_is_announced_said_shown_applied_and_taken_out() {
    let (shop, place) = given();
    let mut till = Postgres::start(Release::Debian).expect("a server");
    till.execute("CREATE DATABASE till").expect("a database");
    let (source, target) = (shop.url("shop"), till.url("till"));
    place
        .tidewater(&format!("plan {source} {target}"))
        .exits(0)
        .says("changes go to a spool in")
        .says("at most 1.0 GiB");

    let sync = format!("sync {source} {target} --watch --json --spool-max 5MB");
    let watcher = place.starts(&sync).says("\"state\":\"in step\"");
    till.kill9();
    at(&shop, "shop", "INSERT INTO products VALUES (10, 'X-10')");
    let watcher = watcher.says("changes are spooled (");
    for id in 11..20 {
        at(&shop, "shop", &format!("INSERT INTO products VALUES ({id}, 'X-{id}')"));
    }
    let status = || place.tidewater(&format!("status {source} --json")).exits(0).json();
    watcher.brings("rows in the spool", || status()["spools"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 200));
    assert_eq!(status()["spools"][0]["target"], target);
    place
        .tidewater(&format!("status {source}"))
        .exits(0)
        .says("  spool: ")
        .says(&format!(" for {target}, what came after "));
    let busy = place.tidewater(&format!("teardown {source}"));
    assert_ne!(busy.code, Some(0), "it is in use: {busy}");
    watcher.dies();

    let watcher = place.starts(&sync).says("changes are spooled (");
    till.restart().expect("it starts again");
    let count = || till.execute_in("till", "SELECT count(*) FROM products").unwrap_or_default();
    until("what was spooled", || count() == "13");
    let ended = watcher.says("\"state\":\"in step\"").gets("TERM").ends().exits(0);
    assert_eq!(ended.json_lines().last().expect("a summary")["rows_compared"], 0, "{ended}");
    place.tidewater(&format!("verify {source} {target}")).exits(0);

    place.tidewater(&format!("teardown {source} {target}")).exits(0).says("the spool ");
    assert!(status()["spools"].as_array().is_some_and(Vec::is_empty));
}

//! A standby takes over while a link is there: it goes on where the standby has all that was read, and compares where
//! it has not; nothing is skipped silently.

use super::given::{End, Pair, block_on, server, until};
use tidewater_core::code;
use tidewater_core::link::Report;
use tidewater_testing::{Postgres, Release};

fn at(server: &Postgres, sql: &str) -> String {
    server.execute_in("shop", sql).unwrap().trim().to_owned()
}

fn sync(source: &Postgres, till: &Postgres) -> Report {
    let pair = Pair::new(End::Postgres(source.url("shop")), End::Postgres(till.url("till")));
    let report = block_on(pair.sync()).unwrap();
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    let rows = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM t";
    assert_eq!(source.execute_in("shop", rows).unwrap(), till.execute_in("till", rows).unwrap(), "{report:?}");
    report
}

/// A primary with rows that are in step with a target on another server, and a standby.
fn given(release: Release) -> (Postgres, Postgres, Postgres) {
    let (primary, till) = (server(release), server(release));
    let rows =
        "CREATE TABLE t(id int PRIMARY KEY, a text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 1000) i";
    at(&primary, rows);
    let standby = primary.standby("spare").unwrap();
    sync(&primary, &till);
    (primary, standby, till)
}

/// Waits until the standby has everything that the primary wrote.
fn caught_up(primary: &Postgres, standby: &Postgres) {
    let end = at(primary, "SELECT pg_current_wal_lsn()");
    until(|| at(standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")) == "t");
}

fn promote(standby: &Postgres) {
    assert_eq!(at(standby, "SELECT pg_promote()"), "t");
}

/// The standby has the slot. The primary's moves up to what a standby can take over only while somebody follows.
fn sync_slots(primary: &Postgres, standby: &Postgres, till: &Postgres) {
    let stop = Pair::new(End::Postgres(primary.url("shop")), End::Postgres(till.url("till"))).watching();
    let ready = "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary";
    until(|| {
        at(primary, "SELECT pg_log_standby_snapshot()");
        caught_up(primary, standby);
        at(standby, "SELECT pg_sync_replication_slots()");
        at(standby, ready) == "1"
    });
    stop();
}

#[test]
fn reading_goes_on_at_a_standby_that_took_over_and_has_the_slot() {
    let (mut primary, standby, till) = given(Release::Newest);
    sync_slots(&primary, &standby, &till);
    at(&primary, "UPDATE t SET a = 'b' WHERE id < 50");
    sync(&primary, &till);
    at(&primary, "DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (5000, 'not read yet')");
    caught_up(&primary, &standby);
    primary.kill9();
    promote(&standby);
    at(&standby, "INSERT INTO t VALUES (5001, 'after')");

    let report = sync(&standby, &till);

    assert_eq!((report.compared, report.upserts, report.deletes), (0, 2, 1), "{report:?}");
    at(&standby, "UPDATE t SET a = 'c' WHERE id > 900");
    assert_eq!(sync(&standby, &till).compared, 0);
}

#[test]
fn what_the_standby_had_not_received_is_noticed_though_its_log_has_grown_past_it() {
    let (mut primary, standby, till) = given(Release::Newest);
    sync_slots(&primary, &standby, &till);
    // From here on, the standby hears nothing any more, and the target is ahead of it.
    at(&standby, "ALTER SYSTEM SET primary_conninfo = ''");
    at(&standby, "SELECT pg_reload_conf()");
    until(|| at(&standby, "SELECT count(*) FROM pg_stat_wal_receiver") == "0");
    at(&primary, "UPDATE t SET a = 'lost' WHERE id < 20; INSERT INTO t VALUES (6000, 'lost')");
    sync(&primary, &till);
    primary.kill9();
    promote(&standby);
    at(&standby, "DELETE FROM t WHERE id = 30");
    at(&standby, "CREATE TABLE other AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)");

    let report = sync(&standby, &till);

    assert!(report.compared > 900 && report.mended > 18, "{report:?}");
    assert!(report.notices.iter().any(|notice| notice.contains("another server took over")), "{report:?}");
    at(&standby, "UPDATE t SET a = 'd' WHERE id = 40");
    assert_eq!(sync(&standby, &till).compared, 0);
}

#[test]
fn a_standby_without_the_slot_takes_over_and_only_what_differs_is_sent() {
    let (mut primary, standby, till) = given(Release::Debian);
    at(&primary, "UPDATE t SET a = 'b' WHERE id < 50");
    caught_up(&primary, &standby);
    let end = End::Postgres(standby.url("shop"));
    let refused = block_on(Pair::new(End::Postgres(primary.url("till")), end).sync()).unwrap_err();
    assert_eq!(refused.code, code::READ_ONLY, "a standby is no target: {refused}");
    primary.kill9();
    promote(&standby);

    let report = sync(&standby, &till);

    assert_eq!((report.compared, report.mended), (1000, 49), "{report:?}");
    at(&standby, "DELETE FROM t WHERE id < 10");
    assert_eq!(sync(&standby, &till).compared, 0);
}

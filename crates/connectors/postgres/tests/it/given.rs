//! What the tests begin with: servers, connections to them, streams of their changes.

use std::future::Future;
use std::time::{Duration, Instant};
use tidewater_core::env::Env;
use tidewater_postgres::wire::{
    Connection, Frame, NewSlot, Pulse, Purpose, ReplicationStream, Slot, Snapshot, StreamOptions, WireError,
};
use tidewater_postgres::{Lsn, Settings};
use tidewater_testing::{Postgres, Release, Setup};

/// How many rounds a randomised test does.
pub(crate) fn rounds() -> u32 {
    std::env::var("TIDEWATER_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// Runs a test's asynchronous part, for two minutes at most.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(120), test).await };
    runtime.block_on(limited).expect("an end within two minutes")
}

/// A server of this release that sends parts of transactions early.
pub(crate) fn server(release: Release) -> Postgres {
    let setup = Setup::new(release).set("logical_decoding_work_mem", "64kB");
    Postgres::start_with(&setup).unwrap_or_else(|error| panic!("{release:?}: {error}"))
}

/// Settings from a URL alone.
pub(crate) fn settings(url: &str) -> Settings {
    Settings::parse_in(url, |_| None).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// A connection that can stream.
pub(crate) async fn replication(server: &Postgres) -> Connection {
    try_open(&server.url("postgres")).await.expect("a connection")
}

/// The same, where it may fail.
pub(crate) async fn try_open(url: &str) -> Result<Connection, WireError> {
    Connection::open(&settings(url), Purpose::Replication, &Env::real()).await
}

/// A slot that is gone with its connection.
pub(crate) async fn temporary_slot(connection: &mut Connection, name: &str) -> Slot {
    let slot = NewSlot { name, temporary: true, snapshot: Snapshot::Nothing, failover: false };
    connection.create_slot(&slot).await.expect("a slot")
}

/// A stream of the publication `p`, with the changes from now on.
pub(crate) async fn stream(server: &Postgres, change: impl FnOnce(&mut StreamOptions)) -> ReplicationStream {
    let mut connection = replication(server).await;
    let slot = temporary_slot(&mut connection, "t").await;
    let mut options = StreamOptions::new(["p"], connection.major_version());
    change(&mut options);
    let start = slot.consistent_point;
    connection.start_replication("t", start, &options, Pulse::default()).await.expect("a stream")
}

/// The messages of a stream up to the place where the server's log stands now.
pub(crate) async fn messages(server: &Postgres, stream: &mut ReplicationStream) -> Vec<bytes::Bytes> {
    let until: Lsn = server
        .execute("SELECT pg_current_wal_insert_lsn()")
        .expect("a place in the log")
        .parse()
        .expect("a place in the log");
    // Gives the server something to send behind that place, and a sign of life.
    server.execute("SELECT pg_logical_emit_message(false, 'mark', '')").expect("a message");
    let mut found = Vec::new();
    loop {
        match stream.next().await.expect("a frame") {
            Frame::Changes { start, data, .. } if start >= until && data.first() == Some(&b'M') => {
                return found;
            }
            Frame::Changes { data, .. } => found.push(data),
            Frame::Alive { end, .. } => stream.confirm(end, Lsn(0), Lsn(0)).await.expect("a report"),
            Frame::Ended => panic!("the stream ended"),
        }
    }
}

/// Waits until `state` holds.
#[track_caller]
pub(crate) fn until(what: &str, state: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !state() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same, and lets other tasks work in between.
pub(crate) async fn until_while_others_work(what: &str, state: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !state() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

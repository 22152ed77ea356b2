//! What nobody can be faster than: decoding at the source with nobody who writes, writing at the target with nobody
//! who reads.

use super::data::Workload;
use super::process::Carried;
use super::servers::Client;
use super::{Bench, Cost, Costs, check_equal};
use crate::Result;
use crate::table::{Line, Target, Unit};
use tidewater_postgres::Lsn;
use tidewater_postgres::wire::{Frame, Pulse, Purpose, StreamOptions};

/// The slot whose changes are thrown away.
pub(super) const SLOT: &str = "thrown_away";
/// In so many batches the changes are applied by hand.
const BATCHES: u64 = 10;

fn line(work: String, against: &str, theirs: f64, ours: f64, unit: Unit) -> Line {
    Line { work, against: against.to_owned(), theirs: Some(theirs), ours, unit, target: Target::None }
}

/// COPY of the same rows to a file and from it, by the servers themselves.
pub(super) fn copy(bench: &Bench, workload: &Workload) -> Result<Vec<Line>> {
    let servers = &bench.servers;
    let file = servers.target.file("rows.copy");
    let mut lines = Vec::new();
    servers.target.create("copied", &workload.tables)?;
    let sides = [("work", "TO", "floor: COPY to a file"), ("copied", "FROM", "floor: COPY from a file")];
    for (database, way, what) in sides {
        let server = if way == "TO" { &servers.source } else { &servers.target };
        let mut client = server.client(database)?;
        let cost = servers.measure(|| {
            client.query(&format!("COPY items {way} '{}' (FORMAT binary)", file.display()))?;
            Ok(Carried::default())
        })?;
        bench.note(what, "the server itself", workload.rows, &cost)?;
        let rate = workload.rows as f64 / cost.seconds;
        lines.push(line(what.to_owned(), "the server itself", rate, f64::NAN, Unit::PerSecond));
        let cpu = cost.source + cost.target;
        lines.push(line(format!("… {what}"), "the server itself", cpu, f64::NAN, Unit::CpuSeconds));
    }
    check_equal(bench, "work", "copied", "COPY by a file")?;
    std::fs::remove_file(file)?;
    servers.target.drop_databases(&["copied"])?;
    Ok(lines)
}

/// Decoding alone, and applying alone in sets. The CPU time of the server that decodes is no floor: to a reader that
/// takes every message at once it sends every message by itself, which costs it more than a reader that is slow.
pub(super) fn catch_up(bench: &Bench, workload: &Workload, work: &str, ours: &Costs) -> Result<Vec<Line>> {
    let decoded = decode(bench)?;
    bench.note(work, "decoding alone", workload.changes, &decoded)?;
    let applied = by_hand(bench, workload)?;
    bench.note(work, "sets by hand", workload.changes, &applied)?;
    let (rate, changes) = (|cost: &Cost| workload.changes as f64 / cost.seconds, workload.changes as f64);
    let per_second = ours.of(|cost| changes / cost.seconds).unwrap_or(f64::NAN);
    let target = ours.of(|cost| cost.target).unwrap_or(f64::NAN);
    let (decoding, sets) = ("decoding, thrown away", "floor: sets by hand, from files");
    Ok(vec![
        line(work.to_owned(), decoding, rate(&decoded), per_second, Unit::PerSecond),
        line(work.to_owned(), sets, rate(&applied), per_second, Unit::PerSecond),
        line(format!("… target, {work}"), sets, applied.target, target, Unit::CpuSeconds),
    ])
}

/// Reads a slot to the end of the log and throws all of it away.
fn decode(bench: &Bench) -> Result<Cost> {
    let servers = &bench.servers;
    let end: Lsn = servers.source.client("work")?.one("SELECT pg_current_wal_flush_lsn()")?.parse()?;
    servers.measure(|| {
        let url = servers.source.url("work");
        let Client { connection, runtime } = Client::open(&url, Purpose::Replication)?;
        runtime
            .block_on(async {
                let options = StreamOptions::new(["native"], connection.major_version());
                let mut stream = connection.start_replication(SLOT, Lsn(0), &options, Pulse::default()).await?;
                loop {
                    match stream.next().await? {
                        // A commit, which is the last of a transaction, lies before the end of the log.
                        Frame::Alive { end: come, .. } if come >= end => return Ok(()),
                        Frame::Changes { end: come, .. } if come >= end => return Ok(()),
                        Frame::Ended => return Err("the stream ended".into()),
                        _ => {}
                    }
                }
            })
            .map(|()| Carried::default())
    })
}

/// What remains of the changes, batch by batch, from files: new rows by COPY, the others by way of a table beside.
fn by_hand(bench: &Bench, workload: &Workload) -> Result<Cost> {
    let servers = &bench.servers;
    servers.target.clone_database("base", "by_hand")?;
    export(bench, workload)?;
    let mut client = servers.target.client("by_hand")?;
    let columns = client.one(
        "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = 'items'::regclass AND attnum > 1",
    )?;
    let set =
        format!("({columns}) = ROW({})", columns.split(", ").map(|c| format!("s.{c}")).collect::<Vec<_>>().join(", "));
    client.query(
        "SET enable_hashjoin = off; SET enable_mergejoin = off; \
         CREATE TEMP TABLE changed (LIKE items); CREATE TEMP TABLE gone (id bigint)",
    )?;
    let file = |what: &str, batch: u64| servers.target.file(&format!("{what}-{batch}")).display().to_string();
    let cost = servers.measure(|| {
        for batch in 0..BATCHES {
            client.query(&format!(
                "BEGIN; COPY items FROM '{}' (FORMAT binary); COPY changed FROM '{}' (FORMAT binary); \
                 UPDATE items t SET {set} FROM changed s WHERE t.id = s.id; COPY gone FROM '{}' (FORMAT binary); \
                 DELETE FROM items t USING gone WHERE t.id = gone.id; TRUNCATE changed, gone; COMMIT",
                file("new", batch),
                file("changed", batch),
                file("gone", batch)
            ))?;
        }
        Ok(Carried::default())
    })?;
    drop(client);
    check_equal(bench, "work", "by_hand", "sets by hand")?;
    servers.target.drop_databases(&["by_hand"])?;
    for batch in 0..BATCHES {
        for what in ["new", "changed", "gone"] {
            std::fs::remove_file(file(what, batch))?;
        }
    }
    Ok(cost)
}

fn export(bench: &Bench, workload: &Workload) -> Result<()> {
    let mut source = bench.servers.source.client("work")?;
    let [is_update, is_delete] = workload.is_update_or_delete();
    let (rows, step) = (workload.rows, workload.changes.div_ceil(BATCHES));
    for batch in 0..BATCHES {
        let (from, to) = (batch * step, ((batch + 1) * step).min(workload.changes));
        let numbers = format!("generate_series({from}::bigint, {to}::bigint - 1) i");
        let (updated, deleted) = (workload.updated(), workload.deleted());
        for (what, query) in [
            ("new", format!("SELECT * FROM items WHERE id > {rows} + {from} AND id <= {rows} + {to}")),
            ("changed", format!("SELECT * FROM items WHERE id IN (SELECT {updated} FROM {numbers} WHERE {is_update})")),
            ("gone", format!("SELECT {deleted} FROM {numbers} WHERE {is_delete}")),
        ] {
            let file = bench.servers.target.file(&format!("{what}-{batch}"));
            source.query(&format!("COPY ({query}) TO '{}' (FORMAT binary)", file.display()))?;
        }
    }
    Ok(())
}

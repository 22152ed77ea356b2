//! Changes that were written while the follower was away, against a native subscription that was away as well.

use super::data::Workload;
use super::process::{Carried, pipe};
use super::{Bench, Cost, Costs, check_equal, cpu, floor, memory_line, native, rate};
use crate::Result;
use crate::table::{Line, Target};

/// Writes in a transaction, and what is to be reached.
const TRANSACTIONS: [(u64, f64); 3] = [(1000, 1.5), (10, 1.4), (1, 1.7)];
const NATIVE: &str = "native subscription";

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let workload = Workload::plain(bench.rows, bench.changes);
    template(bench, &workload)?;
    let mut lines = Vec::new();
    for (per_transaction, least) in TRANSACTIONS {
        lines.extend(compare(bench, &workload, per_transaction, bench.runs, Target::RatioMin(least))?);
    }
    drop_template(bench)?;
    Ok(lines)
}

/// A database on either server with the same rows in the same places, that all others are copies of.
pub(super) fn template(bench: &Bench, workload: &Workload) -> Result<()> {
    for server in [&bench.servers.source, &bench.servers.target] {
        server.create("base", &workload.tables)?;
        let mut client = server.client("base")?;
        client.query("SET synchronous_commit = off")?;
        client.query(&workload.insert(0, workload.rows))?;
        client.query("VACUUM FREEZE ANALYZE")?;
    }
    Ok(())
}

pub(super) fn drop_template(bench: &Bench) -> Result<()> {
    bench.servers.source.drop_databases(&["base"])?;
    bench.servers.target.drop_databases(&["base"])
}

/// Lets both catch up with the same writes, which are made once: a slot and a copy of the target for each run.
pub(super) fn compare(
    bench: &Bench,
    workload: &Workload,
    per_transaction: u64,
    runs: usize,
    target: Target,
) -> Result<Vec<Line>> {
    let work =
        format!("{} changes {}, {per_transaction} a tx, {}", workload.changes, workload.mixture(), workload.name);
    let names = prepared(bench, runs)?;
    write(bench, &[&workload.write(per_transaction)])?;
    let mut costs = [const { Costs(Vec::new()) }; 2];
    for (run, pair) in names.iter().enumerate() {
        for turn in 0..2 {
            let way = (run + turn) % 2;
            let by = [NATIVE, "tidewater"][way];
            costs[way].0.push(one(bench, workload, (&work, by), &pair[way])?);
        }
    }
    let [native, ours] = &costs;
    let mut lines = vec![rate(&work, NATIVE, workload.changes, native, ours, target)];
    lines.extend(cpu(&work, NATIVE, native, ours));
    lines.push(memory_line(&work, ours.peak()));
    lines.extend(floor::catch_up(bench, workload, &work, ours)?);
    bench.servers.source.drop_databases(&["work"])?;
    Ok(lines)
}

/// For each run a target of each way, which the source holds its log for. Their names.
fn prepared(bench: &Bench, runs: usize) -> Result<Vec<[String; 2]>> {
    let servers = &bench.servers;
    servers.source.clone_database("base", "work")?;
    native::publish(&servers.source, "work")?;
    let mut names = Vec::new();
    for run in 0..runs {
        let pair = [format!("native_{run}"), format!("ours_{run}")];
        for name in &pair {
            servers.target.clone_database("base", name)?;
        }
        native::prepare(servers, "work", &pair[0])?;
        follow(bench, &pair[1])?;
        names.push(pair);
    }
    servers.source.client("work")?.query(&native::slot(floor::SLOT))?;
    Ok(names)
}

/// `tidewater sync`, which leaves its slot.
pub(super) fn follow(bench: &Bench, target: &str) -> Result<Carried> {
    pipe(vec![bench.servers.tidewater(&["sync", "--keep-slot", "--tables", "items,done"], "work", target)?])
}

/// Writes at the source, where nobody waits for the disk.
pub(super) fn write(bench: &Bench, statements: &[&str]) -> Result<()> {
    let mut client = bench.servers.source.client("work")?;
    client.query("SET synchronous_commit = off")?;
    for statement in statements {
        client.query(statement)?;
    }
    Ok(())
}

fn one(bench: &Bench, workload: &Workload, (work, by): (&str, &str), target: &str) -> Result<Cost> {
    let servers = &bench.servers;
    let cost = servers.measure(|| match by {
        NATIVE => native::catch_up(servers, target),
        _ => follow(bench, target),
    })?;
    check_equal(bench, "work", target, by)?;
    bench.note(work, by, workload.changes, &cost)?;
    servers.target.drop_databases(&[target])?;
    Ok(cost)
}

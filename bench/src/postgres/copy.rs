//! The first copy of a table, against a native table sync and against `psql` piped into `psql`.

use super::data::Workload;
use super::process::{Carried, pipe};
use super::{Bench, Costs, check_equal, cpu, floor, memory_line, native, rate};
use crate::Result;
use crate::table::{Line, Target};

const NATIVE: &str = "native table sync";
const PIPED: &str = "psql COPY binary | psql";
const OURS: &str = "tidewater";

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let workload = Workload::plain(bench.rows, bench.changes);
    let mut lines = compare(bench, &workload, bench.runs, [Target::RatioMin(1.3), Target::RatioMin(1.15)])?;
    lines.extend(floor::copy(bench, &workload)?);
    bench.servers.source.drop_databases(&["work"])?;
    Ok(lines)
}

/// Copies the rows of a workload by each way in turn. The source, `work`, stays.
pub(super) fn compare(bench: &Bench, workload: &Workload, runs: usize, targets: [Target; 2]) -> Result<Vec<Line>> {
    let servers = &bench.servers;
    servers.source.create("work", &workload.tables)?;
    let mut source = servers.source.client("work")?;
    source.query(&workload.insert(0, workload.rows))?;
    source.query("VACUUM FREEZE ANALYZE items")?;
    native::publish(&servers.source, "work")?;
    let work = format!("copy of {} {}", workload.rows, workload.name);
    let mut costs = [const { Costs(Vec::new()) }; 3];
    for run in 0..runs {
        for turn in 0..3 {
            let way = (run + turn) % 3;
            costs[way].0.push(one(bench, workload, &work, [NATIVE, PIPED, OURS][way])?);
        }
    }
    let [native, piped, ours] = &costs;
    let mut lines = Vec::new();
    for (against, theirs, target) in [(NATIVE, native, targets[0]), (PIPED, piped, targets[1])] {
        lines.push(rate(&work, against, workload.rows, theirs, ours, target));
        lines.extend(cpu(&work, against, theirs, ours));
    }
    lines.push(memory_line(&work, ours.peak()));
    Ok(lines)
}

fn one(bench: &Bench, workload: &Workload, work: &str, by: &str) -> Result<super::Cost> {
    let servers = &bench.servers;
    servers.target.create("copied", &workload.tables)?;
    let cost = servers.measure(|| match by {
        NATIVE => native::copy(servers, "work", "copied"),
        PIPED => piped(bench),
        _ => pipe(vec![servers.tidewater(&["sync"], "work", "copied")?]),
    })?;
    check_equal(bench, "work", "copied", by)?;
    bench.note(work, by, workload.rows, &cost)?;
    servers.target.drop_databases(&["copied"])?;
    Ok(cost)
}

fn piped(bench: &Bench) -> Result<Carried> {
    let servers = &bench.servers;
    pipe(vec![
        servers.source.psql("work", "COPY items TO STDOUT (FORMAT binary)"),
        servers.target.psql("copied", "COPY items FROM STDIN (FORMAT binary)"),
    ])
}

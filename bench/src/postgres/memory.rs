//! The most memory that our process holds with the rows that ask for most of it. The other pieces of work have a line
//! about theirs.

use super::data::Workload;
use super::process::pipe;
use super::{Bench, Cost, catch_up, check_equal, memory_line};
use crate::Result;
use crate::table::Line;

/// Of 8 MiB each.
const LARGE_TEXTS: u64 = 40;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let large = Workload::large_texts(LARGE_TEXTS);
    catch_up::template(bench, &large)?;
    lines.push(copied(bench, &large)?);
    let in_one = large.write(large.changes);
    lines.push(caught_up(bench, &format!("{} changes in one tx, {}", large.changes, large.name), &in_one)?);
    let plain = Workload::plain(bench.rows, bench.changes);
    catch_up::template(bench, &plain)?;
    let in_one = plain.insert(plain.rows, plain.rows * 2);
    lines.push(caught_up(bench, &format!("{} inserts in one tx, {}", plain.rows, plain.name), &in_one)?);
    catch_up::drop_template(bench)?;
    Ok(lines)
}

fn copied(bench: &Bench, workload: &Workload) -> Result<Line> {
    bench.servers.target.create("ours", &workload.tables)?;
    let work = format!("copy of {} {}", workload.rows, workload.name);
    let cost = bench.servers.measure(|| pipe(vec![bench.servers.tidewater(&["sync"], "base", "ours")?]))?;
    check_equal(bench, "base", "ours", &work)?;
    finished(bench, &work, &cost, "base")
}

fn caught_up(bench: &Bench, work: &str, write: &str) -> Result<Line> {
    let servers = &bench.servers;
    servers.source.clone_database("base", "work")?;
    servers.target.clone_database("base", "ours")?;
    catch_up::follow(bench, "ours")?;
    catch_up::write(bench, &[write])?;
    let cost = servers.measure(|| catch_up::follow(bench, "ours"))?;
    check_equal(bench, "work", "ours", work)?;
    finished(bench, work, &cost, "work")
}

/// A slot that stayed would keep the source from being a template.
fn finished(bench: &Bench, work: &str, cost: &Cost, source: &str) -> Result<Line> {
    bench.note(work, "tidewater", 1, cost)?;
    bench.servers.target.drop_databases(&["ours"])?;
    if source == "work" {
        bench.servers.source.drop_databases(&["work"])?;
    }
    Ok(memory_line(work, cost.carried.peak_mib))
}

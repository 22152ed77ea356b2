//! PostgreSQL on both sides, or on one: Tidewater against what the server brings itself, on the same pair of servers.
//!
//! A file for each piece of work; `servers` are the pair, `data` the tables and the writes, `process` what a process
//! costs, `native` what is compared with, `floor` what nobody can be faster than.
//! Invariants: all sides of a line work on the same rows, in turn, each on databases that are copies of one another;
//! whoever comes first in one run comes last in the next; after each measurement both sides are compared.

mod catch_up;
mod copy;
mod data;
mod floor;
mod latency;
mod memory;
mod native;
mod process;
mod servers;
mod shapes;
mod sqlite;

use crate::Result;
use crate::items::median;
use crate::table::{Line, Target, Unit};
use serde_json::json;
use servers::{Cost, Servers};
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;

/// Their names, in the order in which they run.
pub(crate) const NAMES: [&str; 6] =
    ["postgres-copy", "postgres-catch-up", "postgres-shapes", "postgres-latency", "postgres-memory", "postgres-sqlite"];
/// What a process of Tidewater may hold, whatever the rows.
const MIB_MAX: f64 = 256.0;

/// Runs one of them.
pub(crate) fn run(name: &str, bench: &Bench) -> Result<Vec<Line>> {
    match name {
        "postgres-copy" => copy::run(bench),
        "postgres-catch-up" => catch_up::run(bench),
        "postgres-shapes" => shapes::run(bench),
        "postgres-latency" => latency::run(bench),
        "postgres-memory" => memory::run(bench),
        "postgres-sqlite" => sqlite::run(bench),
        other => Err(format!("no piece of work is called {other}").into()),
    }
}

/// The servers and the sizes.
pub(crate) struct Bench {
    servers: Servers,
    rows: u64,
    changes: u64,
    runs: usize,
    figures: Option<RefCell<File>>,
}

impl Bench {
    /// Starts the servers. Each figure is added to `figures`, where there is such a file, as a line of JSON.
    pub(crate) fn new(rows: u64, changes: u64, runs: usize, figures: Option<File>) -> Result<Self> {
        if rows < 1000 || changes < 100 || changes > rows || runs == 0 {
            return Err("--rows must be at least 1000, --changes between 100 and --rows, --runs 1".into());
        }
        Ok(Self { servers: Servers::start()?, rows, changes, runs, figures: figures.map(RefCell::new) })
    }

    /// Keeps one figure: `handled` rows or changes.
    fn note(&self, work: &str, by: &str, handled: u64, cost: &Cost) -> Result<()> {
        let load = std::fs::read_to_string("/proc/loadavg")?;
        self.write(&json!({
            "work": work, "by": by, "handled": handled, "seconds": cost.seconds,
            "per_second": handled as f64 / cost.seconds, "cpu_source": cost.source, "cpu_target": cost.target,
            "cpu_between": cost.carried.cpu_seconds, "peak_mib": cost.carried.peak_mib,
            "load": load.split(' ').next(),
        }))
    }

    fn write(&self, figure: &serde_json::Value) -> Result<()> {
        if let Some(file) = &self.figures {
            writeln!(file.borrow_mut(), "{figure}")?;
        }
        Ok(())
    }
}

/// What one side took, over all runs.
#[derive(Debug, Default)]
struct Costs(Vec<Cost>);

impl Costs {
    fn of(&self, figure: impl Fn(&Cost) -> f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| median(self.0.iter().map(figure).collect()))
    }

    fn peak(&self) -> f64 {
        self.0.iter().map(|cost| cost.carried.peak_mib).fold(0.0, f64::max)
    }
}

/// A line about rates.
fn rate(work: &str, against: &str, handled: u64, theirs: &Costs, ours: &Costs, target: Target) -> Line {
    let rate = |costs: &Costs| costs.of(|cost| handled as f64 / cost.seconds);
    Line {
        work: work.to_owned(),
        against: against.to_owned(),
        theirs: rate(theirs),
        ours: rate(ours).unwrap_or(f64::NAN),
        unit: Unit::PerSecond,
        target,
    }
}

/// Lines about CPU time: on each side, and between.
fn cpu(work: &str, against: &str, theirs: &Costs, ours: &Costs) -> Vec<Line> {
    let line = |side: &str, figure: fn(&Cost) -> f64| Line {
        work: format!("… {side}, {work}"),
        against: against.to_owned(),
        theirs: theirs.of(figure),
        ours: ours.of(figure).unwrap_or(f64::NAN),
        unit: Unit::CpuSeconds,
        target: Target::None,
    };
    vec![
        line("source", |cost| cost.source),
        line("target", |cost| cost.target),
        line("between", |cost| cost.carried.cpu_seconds),
    ]
}

/// A line about the memory of our process.
fn memory_line(work: &str, peak: f64) -> Line {
    Line {
        work: format!("peak memory: {work}"),
        against: "-".to_owned(),
        theirs: None,
        ours: peak,
        unit: Unit::MiB,
        target: Target::OursMax(MIB_MAX),
    }
}

/// Ends the run where both sides are not what they should be.
fn check_equal(bench: &Bench, source: &str, target: &str, by: &str) -> Result<()> {
    let (wanted, found) = (bench.servers.source.content(source)?, bench.servers.target.content(target)?);
    if wanted == found {
        Ok(())
    } else {
        Err(format!("after {by}: {wanted} at the source, {found} at the target").into())
    }
}

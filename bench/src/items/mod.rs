//! The pieces of work that are measured, a file for each, and the databases they start from.

mod both_ways;
mod capture;
mod catch_up;
mod copy;
mod joins;
mod latency;
mod memory;
mod others;
mod verify;

use crate::rows::{self, Shape};
use crate::table::Line;
use crate::{Result, plain, synced};
use std::path::PathBuf;

/// Their names, in the order in which they run.
pub(crate) const NAMES: [&str; 8] =
    ["capture", "copy", "catch-up", "verify", "memory", "latency", "joins", "both-ways"];

/// Writes in a transaction of the application.
const PER_TRANSACTION: u64 = 1000;

/// Runs one of them.
pub(crate) fn run(name: &str, bench: &Bench) -> Result<Vec<Line>> {
    match name {
        "capture" => capture::run(bench),
        "copy" => copy::run(bench),
        "catch-up" => catch_up::run(bench),
        "verify" => verify::run(bench),
        "memory" => memory::run(bench),
        "latency" => latency::run(bench),
        "joins" => joins::run(bench),
        "both-ways" => both_ways::run(bench),
        other => Err(format!("no piece of work is called {other}").into()),
    }
}

/// The sizes, and the folder that goes when the run ends.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    rows: u64,
    changes: u64,
    runs: usize,
}

impl Bench {
    /// A bench with an empty folder.
    pub(crate) fn new(rows: u64, changes: u64, runs: usize) -> Result<Self> {
        if rows < 10 || runs == 0 || changes == 0 || changes > rows {
            return Err("--rows must be at least 10, --runs 1, --changes between 1 and --rows".into());
        }
        Ok(Self { folder: tempfile::tempdir()?, rows, changes, runs })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A filled database that nothing was installed in. Made once; to be copied, not written to.
    fn base(&self, rows: u64, shape: Shape) -> Result<PathBuf> {
        let path = self.path(&format!("base-{}-{rows}.db", shape.word()));
        if !path.exists() {
            let c = plain::open(&path)?;
            rows::fill(&c, rows, shape)?;
            plain::checkpoint(&c)?;
        }
        Ok(path)
    }

    /// The same with capture installed, and its replica. Made once, by a first sync; to be copied.
    fn pair(&self, rows: u64, shape: Shape) -> Result<(PathBuf, PathBuf)> {
        let base = self.base(rows, shape)?;
        let side = |side: &str| self.path(&format!("pair-{}-{rows}-{side}.db", shape.word()));
        let (source, target) = (side("source"), side("target"));
        if !target.exists() {
            plain::clone_file(&base, &source)?;
            synced::sync(&source, &target)?;
            plain::check_equal(&source, &target, Some(rows))?;
            for path in [&source, &target] {
                plain::checkpoint(&plain::open(path)?)?;
            }
        }
        Ok((source, target))
    }

    /// Copies of both, to work on.
    fn working_pair(&self, rows: u64, shape: Shape) -> Result<(PathBuf, PathBuf)> {
        let (source, target) = self.pair(rows, shape)?;
        let (working_source, working_target) = (self.path("source.db"), self.path("target.db"));
        plain::clone_file(&source, &working_source)?;
        plain::clone_file(&target, &working_target)?;
        Ok((working_source, working_target))
    }
}

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => figures[half],
        _ => f64::midpoint(figures[half - 1], figures[half]),
    }
}

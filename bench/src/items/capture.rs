//! What capture costs an application that writes: CPU seconds of the same writes, bare and captured.

use super::{Bench, median};
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, child, plain, synced};
use std::path::Path;

/// The table has a tenth of the rows of the others: still several times SQLite's cache, and quick to put back.
const ROWS_DIVISOR: u64 = 10;

/// The kinds of writes, with the size of their transactions. Scattered over the table each update dirties a page of
/// its own and capture hardly shows; in the order of the keys the bare write costs least, and capture shows most.
const WORKS: [(&str, usize); 7] = [
    ("insert", 1000),
    ("update-scattered", 1000),
    ("update-in-order", 1000),
    ("delete-scattered", 1000),
    ("delete-in-order", 1000),
    ("insert", 1),
    ("update-scattered", 1),
];

/// Writes that take a tenth of a second are measured this many times as often: one checkpoint more or less shows.
const SHORT_REPEATS: usize = 3;

/// How many times the CPU of the bare write a captured one may cost.
const RATIO_MAX: f64 = 2.0;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for shape in [Shape::Plain, Shape::Indexed] {
        for (kind, per_transaction) in WORKS {
            lines.push(one(bench, shape, kind, per_transaction)?);
        }
    }
    Ok(lines)
}

fn one(bench: &Bench, shape: Shape, kind: &str, per_transaction: usize) -> Result<Line> {
    let rows = (bench.rows / ROWS_DIVISOR).max(bench.changes).max(10);
    let bare = bench.path("bare.db");
    let base = bench.base(rows, shape)?;
    let (count, size, many) = (bench.changes.to_string(), per_transaction.to_string(), rows.to_string());
    let job = ["write", kind, &many, &count, &size];
    let write = |path: &Path| child::run(&job, &[path]).map(|took| took.cpu_seconds);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let short = per_transaction > 1 && !kind.ends_with("scattered");
    for run in 0..if short { bench.runs * SHORT_REPEATS } else { bench.runs } {
        plain::clone_file(&base, &bare)?;
        let (source, target) = bench.working_pair(rows, shape)?;
        theirs.push(write(&bare)?);
        ours.push(write(&source)?);
        if run == 0 {
            plain::check_equal(&bare, &source, None)?;
            synced::sync(&source, &target)?;
            plain::check_equal(&source, &target, None)?;
        }
    }
    let table = if shape == Shape::Indexed { ", 3 indexes" } else { "" };
    Ok(Line {
        work: format!("capture: {}, {per_transaction} a tx{table}", kind.replace('-', " ")),
        against: "the same bare".to_owned(),
        theirs: Some(median(theirs)),
        ours: median(ours),
        unit: Unit::CpuSeconds,
        target: Target::RatioMax(RATIO_MAX),
    })
}

//! Changes from the source's log to durable at the target, against SQLite's own changesets.

use super::others::{python, script};
use super::{Bench, PER_TRANSACTION, median};
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, child, plain};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Of what a changeset without a position does.
const RATIO_MIN: f64 = 0.7;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let python = python();
    let mut changesets = [const { Vec::new() }; 2];
    let mut ours = [const { Vec::new() }; 2];
    for _ in 0..bench.runs {
        if let Some(python) = &python {
            let (apply, all) = changeset(bench, python)?;
            changesets[0].push(bench.changes as f64 / apply);
            changesets[1].push(bench.changes as f64 / all);
        }
        let (catch_up, all) = tidewater(bench)?;
        ours[0].push(bench.changes as f64 / catch_up);
        ours[1].push(bench.changes as f64 / all);
    }
    let [their_apply, their_all] = changesets.map(|rates| python.is_some().then(|| median(rates)));
    let [our_apply, our_all] = ours.map(median);
    let against = |what: &str| match python {
        Some(_) => what.to_owned(),
        None => format!("{what}: not measured (run bench/setup.sh)"),
    };
    Ok(vec![
        Line {
            work: format!("catch-up, {} changes 60/30/10", bench.changes),
            against: against("session changeset apply"),
            theirs: their_apply,
            ours: our_apply,
            unit: Unit::PerSecond,
            target: Target::RatioMin(RATIO_MIN),
        },
        Line {
            work: "write + capture + apply of these".to_owned(),
            against: against("session: write, changeset, apply"),
            theirs: their_all,
            ours: our_all,
            unit: Unit::PerSecond,
            target: Target::None,
        },
    ])
}

/// Seconds to catch up, and with the writes before it.
fn tidewater(bench: &Bench) -> Result<(f64, f64)> {
    let (source, target) = bench.working_pair(bench.rows, Shape::Plain)?;
    let wrote = write(bench.rows, bench.changes, &source)?;
    let caught_up = child::run(&["catch-up"], &[&source, &target])?;
    plain::check_equal(&source, &target, None)?;
    Ok((caught_up.seconds, wrote + caught_up.seconds))
}

/// Writes the changes; seconds.
pub(super) fn write(rows: u64, changes: u64, source: &Path) -> Result<f64> {
    let (rows, changes, size) = (rows.to_string(), changes.to_string(), PER_TRANSACTION.to_string());
    Ok(child::run(&["write", "mixed", &rows, &changes, &size], &[source])?.seconds)
}

/// Seconds to apply a changeset, and with the writes and the making of it.
fn changeset(bench: &Bench, python: &Path) -> Result<(f64, f64)> {
    let base = bench.base(bench.rows, Shape::Plain)?;
    let (source, target) = (bench.path("source.db"), bench.path("target.db"));
    plain::clone_file(&base, &source)?;
    plain::clone_file(&base, &target)?;
    Command::new("sync").status()?;
    let sizes = [bench.rows, bench.changes, PER_TRANSACTION].map(|n| n.to_string());
    let mut command = Command::new(python);
    let output =
        command.arg(script("changeset.py")).args([&source, &target]).args(sizes).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("changeset.py failed".into());
    }
    plain::check_equal(&source, &target, None)?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let seconds = |key: &str| answer[key].as_f64().ok_or(format!("changeset.py said {answer}"));
    let apply = seconds("apply_s")?;
    Ok((apply, seconds("write_s")? + seconds("changeset_s")? + apply))
}

//! The most memory that a first copy, a catch-up and a verify ever hold, at one size and at twice that size.

use super::{Bench, catch_up};
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, child, plain};

/// Whatever the size of the tables.
const MIB_MAX: f64 = 128.0;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for factor in [1, 2] {
        let (rows, changes) = (bench.rows * factor, bench.changes * factor);
        let (source, target) = (bench.path("source.db"), bench.path("target.db"));
        plain::clone_file(&bench.base(rows, Shape::Plain)?, &source)?;
        plain::remove(&target)?;
        let mut add = |work: String, job: &str| -> Result<()> {
            let took = child::run(&[job], &[&source, &target])?;
            lines.push(Line {
                work,
                against: "-".to_owned(),
                theirs: None,
                ours: took.peak_mib,
                unit: Unit::MiB,
                target: Target::OursMax(MIB_MAX),
            });
            plain::check_equal(&source, &target, None)
        };
        add(format!("peak memory: first copy, {rows} rows"), "first-copy")?;
        catch_up::write(rows, changes, &source)?;
        add(format!("peak memory: catch-up, {changes} changes"), "catch-up")?;
        add(format!("peak memory: verify, {rows} rows"), "verify")?;
    }
    Ok(lines)
}

//! The first copy of a table into a new file, against inserting its rows and against copying inside SQLite.

use super::{Bench, median};
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, child, plain};

/// At least as fast as what one writes by hand.
const RATIO_MIN: f64 = 1.0;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let base = bench.base(bench.rows, Shape::Plain)?;
    let (source, target) = (bench.path("source.db"), bench.path("target.db"));
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..bench.runs {
        for (job, rates) in ["row-by-row", "attached", "first-copy"].into_iter().zip(&mut rates) {
            plain::clone_file(&base, &source)?;
            plain::remove(&target)?;
            let took = child::run(&[job], &[&source, &target])?;
            plain::check_equal(&source, &target, Some(bench.rows))?;
            rates.push(bench.rows as f64 / took.seconds);
        }
    }
    let [row_by_row, attached, ours] = rates.map(median);
    let line = |against: &str, theirs, target| Line {
        work: format!("first copy, {} rows", bench.rows),
        against: against.to_owned(),
        theirs: Some(theirs),
        ours,
        unit: Unit::PerSecond,
        target,
    };
    Ok(vec![
        line("row by row, prepared, one tx", row_by_row, Target::RatioMin(RATIO_MIN)),
        line("ATTACH + INSERT SELECT", attached, Target::None),
    ])
}

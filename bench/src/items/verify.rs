//! The proof that two tables are equal, against comparing them with SQL in one process.

use super::{Bench, median};
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, child};

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let (source, target) = bench.working_pair(bench.rows, Shape::Plain)?;
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..bench.runs {
        for (job, rates) in ["except", "join", "verify"].into_iter().zip(&mut rates) {
            let took = child::run(&[job], &[&source, &target])?;
            if job == "verify" && took.handled != bench.rows {
                return Err(format!("verify looked at {} rows of {}", took.handled, bench.rows).into());
            }
            rates.push(bench.rows as f64 / took.seconds);
        }
    }
    let [except, join, ours] = rates.map(median);
    let line = |against: &str, theirs| Line {
        work: format!("verify, {} equal rows", bench.rows),
        against: against.to_owned(),
        theirs: Some(theirs),
        ours,
        unit: Unit::PerSecond,
        target: Target::None,
    };
    Ok(vec![line("ATTACH + EXCEPT both ways", except), line("ATTACH + JOIN by key", join)])
}

//! Other rows and other mixtures: wide rows, large texts, mostly updates, mostly deletes. For information, one run each.

use super::data::Workload;
use super::{Bench, catch_up, copy};
use crate::Result;
use crate::table::{Line, Target};

const PER_TRANSACTION: u64 = 100;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let (rows, changes) = (bench.rows, bench.changes);
    let some = |n: u64| n.max(100);
    let wide = Workload::wide(some(rows / 10), some(changes / 10).min(some(rows / 10)));
    let texts = Workload::texts(some(rows / 1000), some(changes / 1000).min(some(rows / 1000)));
    let plain = Workload::plain(rows, some(changes / 5));
    let mut lines = Vec::new();
    for workload in [&wide, &texts] {
        lines.extend(copy::compare(bench, workload, 1, [Target::None; 2])?);
        bench.servers.source.drop_databases(&["work"])?;
        lines.extend(follow(bench, workload)?);
    }
    for mix in [[1, 18, 1], [1, 1, 18]] {
        lines.extend(follow(bench, &plain.clone().mixed("rows of 175 bytes", mix))?);
    }
    Ok(lines)
}

fn follow(bench: &Bench, workload: &Workload) -> Result<Vec<Line>> {
    catch_up::template(bench, workload)?;
    let lines = catch_up::compare(bench, workload, PER_TRANSACTION, 1, Target::None)?;
    catch_up::drop_template(bench)?;
    Ok(lines)
}

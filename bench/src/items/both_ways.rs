//! Two databases that both accept writes: what an application pays, first contact, and bringing both in step.

use super::others::{CrSqlite, PouchDb};
use super::{Bench, PER_TRANSACTION, median};
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, child, plain, synced};
use std::path::{Path, PathBuf};

/// Of what others do in the same run.
const RATIO_MIN_CR_SQLITE: f64 = 4.0;
const RATIO_MIN_POUCHDB: f64 = 20.0;

/// How many times the CPU of the bare write a captured one may cost.
const RATIO_MAX: f64 = 2.0;

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = first_contact(bench)?;
    lines.extend(in_step(bench)?);
    for (kind, size) in [("insert", 1000), ("update-scattered", 1000), ("update-in-order", 1000), ("insert", 1)] {
        lines.push(captured(bench, kind, size)?);
    }
    Ok(lines)
}

/// Copies of two members that have met.
fn working_pair(bench: &Bench, rows: u64) -> Result<(PathBuf, PathBuf)> {
    let base = bench.base(rows, Shape::Plain)?;
    let made = |side: &str| bench.path(&format!("both-{rows}-{side}.db"));
    let (one, other) = (made("one"), made("other"));
    if !other.exists() {
        plain::clone_file(&base, &one)?;
        plain::clone_file(&base, &other)?;
        synced::meet(&one, &other)?;
        for path in [&one, &other] {
            plain::checkpoint(&plain::open(path)?)?;
        }
    }
    let (working_one, working_other) = (bench.path("one.db"), bench.path("other.db"));
    plain::clone_file(&one, &working_one)?;
    plain::clone_file(&other, &working_other)?;
    Ok((working_one, working_other))
}

fn first_contact(bench: &Bench) -> Result<Vec<Line>> {
    let base = bench.base(bench.rows, Shape::Plain)?;
    let (one, other) = (bench.path("one.db"), bench.path("other.db"));
    let (mut equal, mut empty) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        for (there, rates) in [(true, &mut equal), (false, &mut empty)] {
            plain::clone_file(&base, &one)?;
            plain::remove(&other)?;
            if there {
                plain::clone_file(&base, &other)?;
            }
            let took = child::run(&["meet"], &[&one, &other])?;
            plain::check_equal(&one, &other, Some(bench.rows))?;
            rates.push(bench.rows as f64 / took.seconds);
        }
    }
    let line = |work: &str, ours| Line {
        work: format!("both ways: {work}, {} rows", bench.rows),
        against: "-".to_owned(),
        theirs: None,
        ours,
        unit: Unit::PerSecond,
        target: Target::None,
    };
    Ok(vec![
        line("first contact, equal on both sides", median(equal)),
        line("first contact, one side missing", median(empty)),
    ])
}

/// 60 inserts, 30 updates and 10 deletes in a hundred on each side, of different rows but for one update in thirty. The
/// others do the same, in turn with ours.
fn in_step(bench: &Bench) -> Result<Vec<Line>> {
    let mut rates = Vec::new();
    let (mut crsqlite, mut pouchdb) = (CrSqlite::brought(), PouchDb::brought());
    for _ in 0..bench.runs {
        rates.push(meet(bench)?);
        crsqlite.iter_mut().try_for_each(|crsqlite| crsqlite.run(bench))?;
        pouchdb.iter_mut().try_for_each(|pouchdb| pouchdb.run(bench))?;
    }
    let ours = median(rates);
    let line = |against: &str, theirs: Option<f64>, least| Line {
        work: format!("both ways: {} changes 60/30/10 on each side", bench.changes),
        against: match theirs {
            Some(_) => against.to_owned(),
            None => format!("{against}: not measured (run bench/setup.sh)"),
        },
        theirs,
        ours,
        unit: Unit::PerSecond,
        target: Target::RatioMin(least),
    };
    Ok(vec![
        line("cr-sqlite", crsqlite.map(CrSqlite::rate), RATIO_MIN_CR_SQLITE),
        line("PouchDB, a tenth of each", pouchdb.map(PouchDb::rate), RATIO_MIN_POUCHDB),
    ])
}

/// What Tidewater does, in changes a second.
fn meet(bench: &Bench) -> Result<f64> {
    let (one, other) = working_pair(bench, bench.rows)?;
    for (kind, path) in [("mixed", &one), ("mixed-elsewhere", &other)] {
        let [rows, changes, size] = [bench.rows, bench.changes, PER_TRANSACTION].map(|n| n.to_string());
        child::run(&["write", kind, &rows, &changes, &size], &[path])?;
    }
    let took = child::run(&["meet"], &[&one, &other])?;
    plain::check_equal(&one, &other, None)?;
    if took.handled < bench.changes * 2 * 98 / 100 {
        return Err(format!("only {} rows went over", took.handled).into());
    }
    Ok(2.0 * bench.changes as f64 / took.seconds)
}

/// The same writes, bare and to a member.
fn captured(bench: &Bench, kind: &str, per_transaction: usize) -> Result<Line> {
    let rows = (bench.rows / 10).max(bench.changes).max(10);
    let base = bench.base(rows, Shape::Plain)?;
    let bare = bench.path("bare.db");
    let (count, size, many) = (bench.changes.to_string(), per_transaction.to_string(), rows.to_string());
    let write = |path: &Path| child::run(&["write", kind, &many, &count, &size], &[path]).map(|took| took.cpu_seconds);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs * 3 {
        plain::clone_file(&base, &bare)?;
        let (one, _) = working_pair(bench, rows)?;
        theirs.push(write(&bare)?);
        ours.push(write(&one)?);
    }
    Ok(Line {
        work: format!("both ways, capture: {}, {per_transaction} a tx", kind.replace('-', " ")),
        against: "the same bare".to_owned(),
        theirs: Some(median(theirs)),
        ours: median(ours),
        unit: Unit::CpuSeconds,
        target: Target::RatioMax(RATIO_MAX),
    })
}

//! From a commit at the source to the row's being seen at the target, while a link watches.

use super::Bench;
use crate::rows::Shape;
use crate::table::{Line, Target, Unit};
use crate::{Result, plain, synced};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const COMMITS: u64 = 200;
/// Commits come this far apart, spread evenly: a link that looks every so often must not be met in step.
const PAUSES_MS: [u64; 8] = [3, 71, 29, 150, 11, 97, 43, 200];
/// Between two looks at the target.
const LOOK: Duration = Duration::from_micros(200);
/// By then something is broken.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let rows = (bench.rows / 10).max(10);
    let (source, target) = bench.working_pair(rows, Shape::Plain)?;
    let (tell, stop) = watch::channel(false);
    let ends = (source.clone(), target.clone());
    let link = thread::spawn(move || watched(&ends.0, &ends.1, stop));
    let measured = commits(&source, &target, rows);
    tell.send(true)?;
    link.join().map_err(|_| "the link's thread panicked")??;
    let mut seen = measured?;
    plain::check_equal(&source, &target, Some(rows + COMMITS))?;
    seen.sort_by(f64::total_cmp);
    let line = |name: &str, share: f64| Line {
        work: format!("latency while watching, {name} of {COMMITS} commits"),
        against: "-".to_owned(),
        theirs: None,
        ours: seen[((seen.len() - 1) as f64 * share).round() as usize],
        unit: Unit::Milliseconds,
        target: Target::None,
    };
    Ok(vec![line("p50", 0.5), line("p95", 0.95)])
}

/// An error as text: it crosses threads.
fn watched(source: &Path, target: &Path, stop: watch::Receiver<bool>) -> std::result::Result<(), String> {
    synced::watch(source, target, stop).map(drop).map_err(|error| error.to_string())
}

fn commits(source: &Path, target: &Path, rows: u64) -> Result<Vec<f64>> {
    let (writer, looker) = (plain::open(source)?, plain::open(target)?);
    writer.busy_timeout(Duration::from_secs(5))?;
    let mut insert = writer.prepare("INSERT INTO items VALUES (?1, 'a name', 'a document', '2026-06-01', 1.5)")?;
    let mut look = looker.prepare("SELECT EXISTS (SELECT 1 FROM items WHERE id = ?1)")?;
    let mut seen = Vec::new();
    for at in 1..=COMMITS {
        let id = rows + at;
        insert.execute([id])?;
        let committed = Instant::now();
        while !look.query_row([id], |row| row.get::<_, bool>(0))? {
            if committed.elapsed() > WAIT_MAX {
                return Err("a commit was not seen at the target".into());
            }
            thread::sleep(LOOK);
        }
        seen.push(committed.elapsed().as_secs_f64() * 1_000.0);
        thread::sleep(Duration::from_millis(PAUSES_MS[at as usize % PAUSES_MS.len()]));
    }
    Ok(seen)
}

//! From the commit at the source until a second connection sees the row at the target, at a steady rate of writes.
//!
//! When a row was committed is what the server says (`track_commit_timestamp`), when it was seen is this process's
//! clock, which is the same machine's. Invariant: both sides are looked at by the same statement at the same pace.

use super::process::peak_mib;
use super::servers::{Client, wait_for};
use super::{Bench, check_equal, memory_line, native};
use crate::Result;
use crate::items::median;
use crate::table::{Line, Target, Unit};
use serde_json::json;
use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TABLES: &str = "CREATE TABLE items(id bigserial PRIMARY KEY, name text, at timestamptz DEFAULT now()); \
     CREATE TABLE done(id int PRIMARY KEY);";
const WRITE: &str = "INSERT INTO items(name) VALUES (md5(random()::text));\n";
const PER_SECOND: &str = "500";
const SECONDS: &str = "15";
/// Transactions do not become visible in the order of their numbers: so many numbers back are looked at again.
const LOOK_BACK: u64 = 50;
/// Between two looks at the target.
const LOOK: Duration = Duration::from_millis(1);
const RATIO_MAX: f64 = 1.2;
const SHARES: [(&str, f64, Target); 3] = [
    ("p50", 0.5, Target::RatioMax(RATIO_MAX)),
    ("p95", 0.95, Target::RatioMax(RATIO_MAX)),
    ("p99", 0.99, Target::None),
];

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut shares: [[Vec<f64>; 3]; 2] = Default::default();
    let mut peak = 0.0_f64;
    for run in 0..bench.runs {
        for turn in 0..2 {
            let way = (run + turn) % 2;
            let (milliseconds, held) = one(bench, way == 0)?;
            peak = peak.max(held);
            for ((_, share, _), figures) in SHARES.iter().zip(&mut shares[way]) {
                figures.push(milliseconds[((milliseconds.len() - 1) as f64 * share).round() as usize]);
            }
        }
    }
    let [native, ours] = shares;
    let line = |(((name, _, target), native), ours)| Line {
        work: format!("latency at {PER_SECOND} tx/s, {name}"),
        against: "native subscription".to_owned(),
        theirs: Some(median(native)),
        ours: median(ours),
        unit: Unit::Milliseconds,
        target,
    };
    let mut lines: Vec<Line> = SHARES.into_iter().zip(native).zip(ours).map(line).collect();
    lines.push(memory_line(&format!("watching at {PER_SECOND} tx/s"), peak));
    Ok(lines)
}

/// The milliseconds of all rows, sorted, and what our process held.
fn one(bench: &Bench, by_native: bool) -> Result<(Vec<f64>, f64)> {
    let servers = &bench.servers;
    servers.target.drop_databases(&["ticking"])?;
    servers.source.create("ticking", TABLES)?;
    servers.target.create("ticking", TABLES)?;
    let mut watching = None;
    if by_native {
        native::publish(&servers.source, "ticking")?;
        native::copy(servers, "ticking", "ticking")?;
    } else {
        watching = Some(Watching::start(servers.tidewater(&["sync", "--watch"], "ticking", "ticking")?)?);
    }
    // Whoever follows is at it once this is there.
    servers.source.client("ticking")?.query("INSERT INTO done VALUES (1)")?;
    let mut target = servers.target.client("ticking")?;
    wait_for(|| Ok(target.one("SELECT count(*) FROM done")? == "1"))?;
    let (source_cpu, target_cpu) = (servers.source.cpu()?, servers.target.cpu()?);
    let milliseconds = measure(bench, &mut target)?;
    let cpu = [servers.source.cpu()? - source_cpu, servers.target.cpu()? - target_cpu];
    let peak = watching.map(Watching::stop).transpose()?.unwrap_or(0.0);
    check_equal(bench, "ticking", "ticking", "following at a steady rate")?;
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share).round() as usize];
    bench.write(&json!({
        "work": "latency", "by": if by_native { "native" } else { "tidewater" }, "handled": milliseconds.len(),
        "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1.0), "peak_mib": peak,
        "cpu_source": cpu[0], "cpu_target": cpu[1],
    }))?;
    drop(target);
    servers.target.drop_databases(&["ticking"])?;
    servers.source.drop_databases(&["ticking"])?;
    Ok((milliseconds, peak))
}

fn measure(bench: &Bench, target: &mut Client) -> Result<Vec<f64>> {
    let script = bench.servers.source.file("write.sql");
    std::fs::write(&script, WRITE)?;
    let mut pgbench = bench.servers.source.pgbench();
    pgbench.args(["-M", "prepared", "-c", "8", "-j", "2", "-R", PER_SECOND, "-T", SECONDS, "-f"]).arg(&script);
    pgbench.arg("ticking").stdout(Stdio::null()).stderr(Stdio::null());
    let writer = thread::spawn(move || pgbench.status());
    let mut seen = HashMap::new();
    while !writer.is_finished() {
        look(target, &mut seen)?;
        thread::sleep(LOOK);
    }
    if !writer.join().map_err(|_| "the writer's thread panicked")??.success() {
        return Err("pgbench failed".into());
    }
    let mut source = bench.servers.source.client("ticking")?;
    let committed =
        source.query("SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM items")?;
    wait_for(|| {
        look(target, &mut seen)?;
        Ok(seen.len() >= committed.rows.len())
    })?;
    let mut milliseconds = Vec::new();
    for row in committed.rows {
        let number = |at: usize| row.get(at).and_then(|text| text.as_deref()?.parse::<u64>().ok());
        let (Some(id), Some(at)) = (number(0), number(1)) else { return Err("a row without a time".into()) };
        let seen = seen.get(&id).ok_or("a row was not seen at the target")?;
        milliseconds.push((*seen as f64 - at as f64) / 1000.0);
    }
    milliseconds.sort_by(f64::total_cmp);
    Ok(milliseconds)
}

/// Notes when rows are seen for the first time: microseconds since 1970.
fn look(target: &mut Client, seen: &mut HashMap<u64, u64>) -> Result<()> {
    let after = (seen.len() as u64).saturating_sub(LOOK_BACK);
    let found = target.column(&format!("SELECT id FROM items WHERE id > {after}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
    for id in found {
        seen.entry(id.parse()?).or_insert(now);
    }
    Ok(())
}

/// `tidewater --watch`, which ends with this value.
struct Watching(Child);

impl Watching {
    fn start(mut command: Command) -> Result<Self> {
        Ok(Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// Ends it in order; the most memory that it held.
    fn stop(mut self) -> Result<f64> {
        let peak = peak_mib(self.0.id())?.ok_or("tidewater --watch has ended by itself")?;
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status()?;
        let status = self.0.wait()?;
        if status.success() { Ok(peak) } else { Err(format!("tidewater --watch ended with {status}").into()) }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Where it has ended already, there is nobody to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! One measured job in a process of its own, so that its CPU time and memory are its own.

use crate::rows::Writes;
use crate::{Result, plain, synced};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a job took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// Wall-clock seconds.
    pub(crate) seconds: f64,
    /// CPU seconds of the thread that did the work; for jobs of one thread only.
    pub(crate) cpu_seconds: f64,
    /// The most memory that the process ever held, in MiB.
    pub(crate) peak_mib: f64,
    /// How many rows or changes it handled.
    pub(crate) handled: u64,
}

/// Runs a job in a child process. Everything written before is on disk by then.
pub(crate) fn run(job: &[&str], paths: &[&Path]) -> Result<Took> {
    // Otherwise one side would pay for writing back what the other has written.
    Command::new("sync").status()?;
    // Not by its path: a build may have replaced the file meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg("--child").args(job).args(paths).stderr(Stdio::inherit());
    let output = command.output()?;
    let name = job.join(" ");
    if !output.status.success() {
        return Err(format!("the job {name} failed").into());
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let number = |key: &str| answer[key].as_f64().ok_or(format!("the job {name} said {answer}"));
    Ok(Took {
        seconds: number("seconds")?,
        cpu_seconds: number("cpu_seconds")?,
        peak_mib: number("peak_mib")?,
        handled: number("handled")? as u64,
    })
}

/// Does a job, in the child, and prints what it took.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let took = match words[..] {
        ["write", kind, rows, count, per_transaction, path] => {
            let writes = Writes::new(kind, rows.parse()?, count.parse()?, per_transaction.parse()?)?;
            let c = plain::open(Path::new(path))?;
            timed(|| writes.run(&c).map(|()| writes.len()))?
        }
        ["row-by-row", source, target] => {
            timed(|| plain::copy_row_by_row(Path::new(source), Path::new(target)).map(|()| 0))?
        }
        ["attached", source, target] => {
            timed(|| plain::copy_attached(Path::new(source), Path::new(target)).map(|()| 0))?
        }
        ["first-copy", source, target] => timed(|| {
            let report = synced::sync(Path::new(source), Path::new(target))?;
            plain::checkpoint(&plain::open(Path::new(target))?)?;
            Ok(report.copied)
        })?,
        ["catch-up", source, target] => {
            timed(|| synced::sync(Path::new(source), Path::new(target)).map(|report| report.changes()))?
        }
        ["meet", one, other] => timed(|| synced::meet(Path::new(one), Path::new(other)))?,
        ["verify", source, target] => timed(|| synced::verify(Path::new(source), Path::new(target)))?,
        ["except", one, other] => timed(|| none(plain::differences_by_except(Path::new(one), Path::new(other))?))?,
        ["join", one, other] => timed(|| none(plain::differences_by_join(Path::new(one), Path::new(other))?))?,
        _ => return Err(format!("no such job: {words:?}").into()),
    };
    println!("{took}");
    Ok(())
}

fn none(differences: u64) -> Result<u64> {
    if differences == 0 { Ok(0) } else { Err(format!("{differences} rows differ").into()) }
}

fn timed(job: impl FnOnce() -> Result<u64>) -> Result<Value> {
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let handled = job()?;
    Ok(json!({
        "seconds": start.elapsed().as_secs_f64(), "cpu_seconds": cpu_seconds()? - cpu, "peak_mib": peak_mib()?,
        "handled": handled,
    }))
}

/// CPU seconds of this thread so far. (`/proc/self/stat` counts in hundredths, which is too coarse.)
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds as f64 / 1e9)
}

/// The most memory that this process ever held.
fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

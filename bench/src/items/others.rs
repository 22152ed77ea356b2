//! What others take to bring two databases in step that were both written to: cr-sqlite and PouchDB, where
//! `bench/setup.sh` has brought them.

use super::{Bench, PER_TRANSACTION, median};
use crate::rows::Shape;
use crate::{Result, plain};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of `bench/setup.sh`, beside the builds.
fn folder() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    Some(exe.parent()?.parent()?.join("bench-venv"))
}

/// Something in it, if it is there.
fn brought(name: &str) -> Option<PathBuf> {
    folder().map(|folder| folder.join(name)).filter(|path| path.exists())
}

/// The Python that it made.
pub(super) fn python() -> Option<PathBuf> {
    brought("bin/python")
}

/// A script of the bench.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What a command prints, which is one line of JSON or nothing.
fn answer(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed").into());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

fn seconds(answer: &Value) -> Result<f64> {
    answer["seconds"].as_f64().ok_or_else(|| format!("no seconds in {answer}").into())
}

/// The rates of cr-sqlite, of each way to do it.
pub(super) struct CrSqlite {
    python: PathBuf,
    extension: PathBuf,
    rates: [Vec<f64>; 2],
}

impl CrSqlite {
    /// Both directions one after the other, and both at once.
    const WAYS: [&'static str; 2] = ["in-turn", "at-once"];

    pub(super) fn brought() -> Option<Self> {
        Some(Self { python: python()?, extension: brought("crsqlite.so")?, rates: Default::default() })
    }

    fn script(&self, work: &str, paths: [&Path; 2], way: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(script("crsqlite.py")).arg(&self.extension).arg(work).args(paths).env("CRSQLITE_WAY", way);
        command
    }

    /// Does what Tidewater does, on as many rows.
    pub(super) fn run(&mut self, bench: &Bench) -> Result<()> {
        let base = bench.base(bench.rows, Shape::Plain)?;
        let made = |side: &str| bench.path(&format!("crsqlite-{side}.db"));
        let (one, other) = (bench.path("one.db"), bench.path("other.db"));
        for (side, working) in [("one", &one), ("other", &other)] {
            if !made(side).exists() {
                // A copy of the other one would go by its name.
                answer(&mut self.script("make", [&base, &made(side)], ""))?;
            }
            plain::remove(working)?;
        }
        for (way, rates) in Self::WAYS.into_iter().zip(0..) {
            plain::clone_file(&made("one"), &one)?;
            plain::clone_file(&made("other"), &other)?;
            let sizes = [bench.rows, bench.changes, PER_TRANSACTION].map(|n| n.to_string());
            let took = seconds(&answer(self.script("meet", [&one, &other], way).args(sizes))?)?;
            plain::check_equal(&one, &other, None)?;
            self.rates[rates].push(2.0 * bench.changes as f64 / took);
        }
        Ok(())
    }

    /// Changes a second, by the way that is the better one here.
    pub(super) fn rate(self) -> f64 {
        self.rates.into_iter().map(median).fold(f64::NAN, f64::max)
    }
}

/// The rates of PouchDB, on a tenth of the rows and changes.
pub(super) struct PouchDb {
    modules: PathBuf,
    rates: Vec<f64>,
}

impl PouchDb {
    pub(super) fn brought() -> Option<Self> {
        let modules = brought("node_modules/pouchdb").and_then(|_| folder())?;
        Some(Self { modules, rates: vec![] })
    }

    fn script(&self, work: &str, folder: &Path, rows: u64) -> Command {
        let mut command = Command::new("node");
        command.arg(script("pouchdb.mjs")).arg(&self.modules).arg(work).arg(folder).arg(rows.to_string());
        command
    }

    pub(super) fn run(&mut self, bench: &Bench) -> Result<()> {
        let (rows, changes) = ((bench.rows / 10).max(10), (bench.changes / 10).max(10));
        let (base, working) = (bench.path("pouchdb"), bench.path("pouchdb-working"));
        if !base.exists() {
            std::fs::create_dir(&base)?;
            answer(&mut self.script("make", &base, rows))?;
        }
        copy_folder(&base, &working)?;
        Command::new("sync").status()?;
        let took = seconds(&answer(self.script("meet", &working, rows).arg(changes.to_string()))?)?;
        self.rates.push(2.0 * changes as f64 / took);
        Ok(())
    }

    /// Changes a second.
    pub(super) fn rate(self) -> f64 {
        median(self.rates)
    }
}

/// Copies a folder of closed stores, over whatever was there.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, to) = (entry?.path(), to.to_owned());
        let Some(name) = entry.file_name() else { continue };
        if entry.is_dir() {
            copy_folder(&entry, &to.join(name))?;
        } else {
            std::fs::copy(&entry, to.join(name))?;
        }
    }
    Ok(())
}

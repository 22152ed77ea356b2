//! Between a server and a SQLite file, against the programs of both with CSV between them.

use super::data::Workload;
use super::process::pipe;
use super::servers::tidewater;
use super::{Bench, Cost, Costs, cpu, memory_line, rate};
use crate::rows::{self, Shape, Writes};
use crate::table::{Line, Target};
use crate::{Result, plain};
use std::path::Path;
use std::process::Command;

const PER_TRANSACTION: u64 = 1000;
/// As a file holds it that Tidewater has made of the server's table.
const FILE_TABLE: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, doc TEXT, at TEXT, amount TEXT);";
/// As the server holds it that Tidewater has made of a file's table.
const SERVER_TABLE: &str =
    "CREATE TABLE items(id bigint PRIMARY KEY, name text, doc text, at text, amount double precision)";

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let folder = tempfile::tempdir()?;
    let mut lines = to_file(bench, folder.path())?;
    lines.extend(from_file(bench, folder.path())?);
    Ok(lines)
}

fn endpoint(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

fn sqlite3(arguments: &[&str]) -> Command {
    let mut command = Command::new("sqlite3");
    command.args(arguments);
    command
}

fn has_sqlite3() -> bool {
    Command::new("sqlite3").arg("--version").output().is_ok_and(|output| output.status.success())
}

struct Work<'a> {
    bench: &'a Bench,
    name: String,
    handled: u64,
    against: &'static str,
    theirs: Costs,
    ours: Costs,
}

impl<'a> Work<'a> {
    fn new(bench: &'a Bench, name: String, handled: u64, against: &'static str) -> Self {
        Self { bench, name, handled, against, theirs: Costs::default(), ours: Costs::default() }
    }

    fn add(&mut self, is_ours: bool, cost: Cost) -> Result<()> {
        self.bench.note(&self.name, if is_ours { "tidewater" } else { self.against }, self.handled, &cost)?;
        if is_ours { &mut self.ours } else { &mut self.theirs }.0.push(cost);
        Ok(())
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = vec![rate(&self.name, self.against, self.handled, &self.theirs, &self.ours, Target::None)];
        lines.extend(cpu(&self.name, self.against, &self.theirs, &self.ours));
        lines.push(memory_line(&self.name, self.ours.peak()));
        lines
    }
}

/// Runs `tidewater` and then has it verify.
fn synced(bench: &Bench, words: &[&str], source: &str, target: &str) -> Result<Cost> {
    let cost = bench.servers.measure(|| pipe(vec![tidewater(words, source, target)?]))?;
    let tables: Vec<&str> = words.iter().copied().skip_while(|word| *word != "--tables").collect();
    let verify: Vec<&str> = ["verify"].into_iter().chain(tables).collect();
    pipe(vec![tidewater(&verify, source, target)?])?;
    Ok(cost)
}

fn to_file(bench: &Bench, folder: &Path) -> Result<Vec<Line>> {
    let servers = &bench.servers;
    let workload = Workload::plain(bench.rows, bench.changes);
    servers.source.create("work", &workload.tables)?;
    let mut source = servers.source.client("work")?;
    source.query(&workload.insert(0, workload.rows))?;
    source.query("VACUUM FREEZE ANALYZE items")?;
    let (imported, ours) = (folder.join("imported.db"), folder.join("ours.db"));
    let has_sqlite3 = has_sqlite3();
    let name = format!("copy of {} rows, PostgreSQL to SQLite", bench.rows);
    let against = if has_sqlite3 { "psql CSV | sqlite3 .import" } else { "not measured (no sqlite3)" };
    let mut copy = Work::new(bench, name, bench.rows, against);
    for _ in 0..bench.runs {
        if has_sqlite3 {
            plain::remove(&imported)?;
            plain::open(&imported)?.execute_batch(FILE_TABLE)?;
            let cost = servers.measure(|| {
                let import = [imported.to_str().unwrap_or_default(), ".import --csv /dev/stdin items"];
                pipe(vec![servers.source.psql("work", "COPY items TO STDOUT (FORMAT csv)"), sqlite3(&import)])
            })?;
            copy.add(false, cost)?;
        }
        plain::remove(&ours)?;
        let url = servers.source.url("work");
        copy.add(true, synced(bench, &["sync", "--tables", "items"], &url, &endpoint(&ours))?)?;
        if has_sqlite3 {
            plain::check_equal(&imported, &ours, Some(bench.rows))?;
        }
    }
    let mut lines = copy.lines();
    lines.extend(follow_to_file(bench, &workload, &ours)?);
    drop(source);
    servers.source.drop_databases(&["work"])?;
    Ok(lines)
}

fn follow_to_file(bench: &Bench, workload: &Workload, file: &Path) -> Result<Vec<Line>> {
    let (url, words) = (bench.servers.source.url("work"), ["sync", "--keep-slot", "--tables", "items"]);
    pipe(vec![tidewater(&words, &url, &endpoint(file))?])?;
    super::catch_up::write(bench, &[&workload.write(PER_TRANSACTION)])?;
    let name = format!("{} changes {}, PostgreSQL to SQLite", workload.changes, workload.mixture());
    let mut work = Work::new(bench, name, workload.changes, "-");
    work.add(true, synced(bench, &words, &url, &endpoint(file))?)?;
    Ok(work.lines())
}

fn from_file(bench: &Bench, folder: &Path) -> Result<Vec<Line>> {
    let (servers, file) = (&bench.servers, folder.join("source.db"));
    let c = plain::open(&file)?;
    rows::fill(&c, bench.rows, Shape::Plain)?;
    plain::checkpoint(&c)?;
    drop(c);
    let has_sqlite3 = has_sqlite3();
    let name = format!("copy of {} rows, SQLite to PostgreSQL", bench.rows);
    let against = if has_sqlite3 { "sqlite3 CSV | psql COPY" } else { "not measured (no sqlite3)" };
    let mut copy = Work::new(bench, name, bench.rows, against);
    let fresh = folder.join("fresh.db");
    for _ in 0..bench.runs {
        let mut found = Vec::new();
        if has_sqlite3 {
            servers.target.create("imported", SERVER_TABLE)?;
            let select = ["-csv", file.to_str().unwrap_or_default(), "SELECT * FROM items"];
            let import = servers.target.psql("imported", "COPY items FROM STDIN (FORMAT csv)");
            copy.add(false, servers.measure(|| pipe(vec![sqlite3(&select), import]))?)?;
            found.push(servers.target.content("imported")?);
        }
        servers.target.create("ours", "")?;
        // Capture is installed in a file of its own each time, as it is at first contact.
        plain::clone_file(&file, &fresh)?;
        copy.add(true, synced(bench, &["sync"], &endpoint(&fresh), &servers.target.url("ours"))?)?;
        found.push(servers.target.content("ours")?);
        if found.iter().any(|content| content != &found[0]) {
            return Err(format!("the copies differ: {found:?}").into());
        }
    }
    let mut lines = copy.lines();
    let changes = bench.changes.min(bench.rows);
    let name = format!("{changes} changes 60/30/10, SQLite to PostgreSQL");
    Writes::new("mixed", bench.rows, changes, PER_TRANSACTION as usize)?.run(&plain::open(&fresh)?)?;
    let mut work = Work::new(bench, name, changes, "-");
    work.add(true, synced(bench, &["sync"], &endpoint(&fresh), &servers.target.url("ours"))?)?;
    lines.extend(work.lines());
    servers.target.drop_databases(&["imported", "ours"])?;
    Ok(lines)
}

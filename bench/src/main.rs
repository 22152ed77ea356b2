//! Side-by-side benchmarks: Tidewater against what a user would pick instead, in one run, on temporary files.
//!
//! `items/` has a file for each piece of work between SQLite files, `postgres/` those with servers; `rows` makes the
//! data, `plain` is SQLite alone, `synced` is Tidewater through its public interface, `child` runs one measured job in a
//! process of its own, `table` prints.
//! Invariants: both sides get the same rows and run in turn, medians are taken, and after each measurement both
//! databases are compared by plain SQL; a difference ends the run. What each row means: `README.md` beside this.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark reads the clock and waits")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod child;
mod items;
mod plain;
mod postgres;
mod rows;
mod synced;
mod table;

use clap::Parser;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use table::Line;

/// What may go wrong: it is printed and ends the run.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is written between SQLite files where nothing else is said.
const CHANGES: u64 = 100_000;
/// The same for servers.
const CHANGES_POSTGRES: u64 = 500_000;
/// How often each measurement is taken where nothing else is said.
const RUNS: usize = 3;
/// The same with servers: each side comes first once.
const RUNS_POSTGRES: usize = 2;
/// All pieces of work between SQLite files.
const SQLITE: &str = "sqlite";
/// All pieces of work with servers.
const POSTGRES: &str = "postgres";

/// Side-by-side benchmarks of Tidewater.
#[derive(Debug, Parser)]
#[command(name = "tidewater-bench")]
struct Args {
    /// Rows of the table that is copied and verified.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Changes that are written, captured and applied [default: 100000; 500000 with servers]
    #[arg(long)]
    changes: Option<u64>,
    /// How often each measurement is taken; the median counts [default: 3; 2 with servers]
    #[arg(long)]
    runs: Option<usize>,
    /// Only this piece of work, or all that are between SQLite files, or all with servers.
    #[arg(long, value_name = "NAME", value_parser = names())]
    only: Option<String>,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
    /// Add each single figure of the work with servers to this file, as a line of JSON.
    #[arg(long, value_name = "FILE")]
    figures: Option<PathBuf>,
    /// One job, for a process of its own.
    #[arg(long, hide = true, num_args = 1..)]
    child: Vec<String>,
}

fn names() -> Vec<&'static str> {
    [SQLITE, POSTGRES].into_iter().chain(items::NAMES).chain(postgres::NAMES).collect()
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if args.child.is_empty() { measure(&args) } else { child::serve(&args.child) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidewater-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    let lines = [between_files(args)?, with_servers(args)?].concat();
    if args.json {
        println!("{}", table::json(args.rows, args.changes, args.runs, &lines));
    } else {
        print!("{}", table::text(&lines));
    }
    Ok(())
}

/// Which of these are asked for.
fn wanted(args: &Args, group: &str, names: &[&'static str]) -> Vec<&'static str> {
    let is_wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name || only == group);
    names.iter().copied().filter(|name| is_wanted(name)).collect()
}

fn between_files(args: &Args) -> Result<Vec<Line>> {
    let (names, mut lines) = (wanted(args, SQLITE, &items::NAMES), Vec::new());
    if names.is_empty() {
        return Ok(lines);
    }
    let bench = items::Bench::new(args.rows, args.changes.unwrap_or(CHANGES), args.runs.unwrap_or(RUNS))?;
    for name in names {
        eprintln!("{name} …");
        lines.extend(items::run(name, &bench)?);
    }
    Ok(lines)
}

fn with_servers(args: &Args) -> Result<Vec<Line>> {
    let (names, mut lines) = (wanted(args, POSTGRES, &postgres::NAMES), Vec::new());
    if names.is_empty() {
        return Ok(lines);
    }
    let figures = args.figures.as_ref().map(|path| File::options().create(true).append(true).open(path)).transpose()?;
    let (changes, runs) = (args.changes.unwrap_or(CHANGES_POSTGRES), args.runs.unwrap_or(RUNS_POSTGRES));
    let bench = postgres::Bench::new(args.rows, changes, runs, figures)?;
    for name in names {
        eprintln!("{name} …");
        lines.extend(postgres::run(name, &bench)?);
    }
    Ok(lines)
}

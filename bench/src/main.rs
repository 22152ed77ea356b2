//! Side-by-side benchmarks: Tidewater against what a user would pick instead, in one run, on temporary files.
//!
//! `items/` has a file for each piece of work, `rows` makes the data, `plain` is SQLite alone, `synced` is Tidewater
//! through its public interface, `child` runs one measured job in a process of its own, `table` prints.
//! Invariants: both sides get the same rows and run in turn, medians are taken, and after each measurement both
//! databases are compared by plain SQL; a difference ends the run. What each row means: `README.md` beside this.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark reads the clock and waits")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod child;
mod items;
mod plain;
mod rows;
mod synced;
mod table;

use clap::Parser;
use items::Bench;
use std::process::ExitCode;

/// What may go wrong: it is printed and ends the run.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Side-by-side benchmarks of Tidewater.
#[derive(Debug, Parser)]
#[command(name = "tidewater-bench")]
struct Args {
    /// Rows of the table that is copied and verified.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Changes that are written, captured and applied.
    #[arg(long, default_value_t = 100_000)]
    changes: u64,
    /// How often each measurement is taken; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only this piece of work.
    #[arg(long, value_name = "NAME", value_parser = items::NAMES)]
    only: Option<String>,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
    /// One job, for a process of its own.
    #[arg(long, hide = true, num_args = 1..)]
    child: Vec<String>,
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
    let bench = Bench::new(args.rows, args.changes, args.runs)?;
    let mut lines = Vec::new();
    for name in items::NAMES {
        if args.only.as_deref().is_none_or(|only| only == name) {
            eprintln!("{name} …");
            lines.extend(items::run(name, &bench)?);
        }
    }
    if args.json {
        println!("{}", table::json(args.rows, args.changes, args.runs, &lines));
    } else {
        print!("{}", table::text(&lines));
    }
    Ok(())
}

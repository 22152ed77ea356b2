//! The `tidewater` command.
//!
//! `args` says what can be typed, `commands` has a file for each command, `config` reads `tidewater.toml`,
//! `endpoint` turns URLs into the two ends of a link, `output` is everything that reaches a terminal.
//! Exit codes: 0 done, 1 differs or needs attention, 2 wrong use or configuration, 3 an endpoint is unavailable.
//! Tests: `tests/it/`, which run the real binary.

mod args;
mod commands;
mod config;
mod endpoint;
mod output;
mod spool;

use clap::Parser;
use std::process::ExitCode;
use tidewater_core::{Error, Kind, code};

/// Threads for many syncs at a time.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        // Help and the version are asked for; everything else is wrong use.
        Err(asked) if !asked.use_stderr() => {
            let _ = asked.print();
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            // What was typed could not be read, but who reads the answer is plain.
            if std::env::args_os().any(|arg| arg == "--json") {
                output::failure(&wrong_use(&wrong.render().to_string()), true);
            } else {
                let _ = wrong.print();
            }
            return ExitCode::from(2);
        }
    };
    if args.verbose > 0 {
        let level = if args.verbose == 1 { "info" } else { "debug" };
        let crates = ["tidewater_core", "tidewater_lines", "tidewater_postgres", "tidewater_sqlite"];
        let directives = crates.map(|name| format!("{name}={level}")).join(",");
        let filter = tracing_subscriber::EnvFilter::new(directives);
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let json = args.json();
    let done = match runtime(&args) {
        Ok(runtime) => runtime.block_on(commands::carry_out(args)),
        Err(error) => Err(Error::internal(format!("no event loop can be started: {error}"))),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::failure(&error, json);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// What the work runs on. For one sync a single thread: what comes wakes the one that goes on with it, and not another
/// one first. Streams and SQLite's files have threads of their own.
fn runtime(args: &args::Args) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match args.command {
        args::Command::Run(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.worker_threads(WORKERS).enable_all().build()
}

/// A message about wrong use, as facts: what is wrong, a blank line, and what would be right.
fn wrong_use(said: &str) -> Error {
    let (what, remedy) = said.trim().split_once("\n\n").unwrap_or((said.trim(), ""));
    Error::new(Kind::Invalid, code::USAGE, what.strip_prefix("error: ").unwrap_or(what))
        .meaning("Nothing was read or written.")
        .remedy(remedy.trim())
}

/// What an error means for whoever called the command.
fn exit_code(error: &Error) -> u8 {
    match error.kind {
        Kind::Conflict | Kind::Data | Kind::Lost | Kind::Internal => 1,
        Kind::Invalid | Kind::Denied => 2,
        Kind::Unavailable => 3,
    }
}

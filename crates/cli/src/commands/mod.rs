//! The commands, a file for each.

mod conflicts;
mod demo;
mod plan;
mod run;
mod status;
mod sync;
mod teardown;
mod verify;

use crate::args::{Args, Command, PairArgs};
use crate::config::{self, Config};
use crate::endpoint::database;
use crate::output;
use std::path::PathBuf;
use std::time::Duration;
use tidewater_core::change::{Pattern, Scope};
use tidewater_core::link::{Run, Settings};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::Database;
use tokio::sync::watch;

/// Everything is as it should be.
const DONE: u8 = 0;
/// Something differs, or a person should look.
const ATTENTION: u8 = 1;

/// Carries out what was typed; the exit code.
pub(crate) async fn carry_out(args: Args) -> Result<u8> {
    match args.command {
        Command::Demo => demo::demo().await,
        Command::Sync(args) => sync::sync(args).await,
        Command::Plan(args) => plan::plan(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Status(args) => status::status(&args),
        Command::Verify(args) => verify::verify(args).await,
        Command::Conflicts(args) => conflicts::conflicts(args).await,
        Command::Teardown(args) => teardown::teardown(args).await,
    }
}

/// One link that a command is about.
struct Wanted {
    /// What to call it: the sync's name, and its target's where it has several.
    name: String,
    source: Database,
    target: Database,
    settings: Settings,
}

/// The worst of several links' outcomes: each is told, and one that failed keeps none of the others from its turn.
#[derive(Default)]
struct Worst {
    code: u8,
}

impl Worst {
    /// Notes one link's outcome. Where it is the only one, its failure is the command's.
    fn note(&mut self, wanted: &Wanted, outcome: Result<u8>, alone: bool, json: bool) -> Result<()> {
        let code = match outcome {
            Ok(code) => code,
            Err(error) if alone => return Err(error),
            Err(error) => {
                let what = format!("{} → {} failed", wanted.source.shown, wanted.target.shown);
                output::failure_of(&wanted.name, &what, &error, json);
                crate::exit_code(&error)
            }
        };
        self.code = self.code.max(code);
        Ok(())
    }
}

/// The file that is read when none is named.
const CONFIGURATION: &str = "tidewater.toml";

/// The configuration.
fn configuration(files: Vec<PathBuf>) -> Result<Config> {
    let files = if files.is_empty() { vec![PathBuf::from(CONFIGURATION)] } else { files };
    config::load(&files)
}

/// The links that a command with two URLs, or a configuration file, is about.
fn wanted(args: PairArgs) -> Result<Vec<Wanted>> {
    match (args.source, args.target) {
        (Some(source), Some(target)) => {
            let scope = ad_hoc_scope(&args.tables);
            let settings = Settings { scope, ..Settings::default() };
            Ok(vec![Wanted { name: "sync".into(), source: database(&source)?, target: database(&target)?, settings }])
        }
        _ => from_configuration(&configuration(args.config)?, &[], Run::UntilInStep),
    }
}

/// The scope of a sync without a file.
fn ad_hoc_scope(tables: &[String]) -> Scope {
    let tables = tables.iter().map(|t| Pattern::new(t.trim())).collect();
    Scope { tables, value_bytes_max: Some(Scope::VALUE_BYTES_MAX_DEFAULT), ..Scope::default() }
}

/// The links of a configuration: one for each target of each sync.
fn from_configuration(config: &Config, only: &[String], run: Run) -> Result<Vec<Wanted>> {
    if let Some(unknown) = only.iter().find(|name| !config.syncs.iter().any(|s| s.name == **name)) {
        let there: Vec<&str> = config.syncs.iter().map(|s| s.name.as_str()).collect();
        return Err(Error::new(Kind::Invalid, code::USAGE, format!("no sync is called {unknown}"))
            .meaning("Nothing was read or written.")
            .remedy(format!("{} has: {}", config.path.display(), there.join(", "))));
    }
    let mut wanted = Vec::new();
    for sync in config.syncs.iter().filter(|s| only.is_empty() || only.contains(&s.name)) {
        for to in &sync.to {
            let settings = Settings {
                sync: sync.name.clone(),
                scope: sync.scope_for(to)?,
                existing: sync.existing,
                protect: sync.local_writes_refused,
                run_triggers: sync.run_triggers.clone(),
                rows_per_second_max: sync.rows_per_second_max,
                every: match sync.latency {
                    config::Latency::Live => Duration::ZERO,
                    config::Latency::Every(pause) => pause,
                },
                patient: true,
                run,
                ..Settings::default()
            };
            let name = if sync.to.len() > 1 { format!("{}/{to}", sync.name) } else { sync.name.clone() };
            let (source, target) = (endpoint(config, &sync.from)?, endpoint(config, to)?);
            wanted.push(Wanted { name, source, target, settings });
        }
    }
    Ok(wanted)
}

fn endpoint(config: &Config, name: &str) -> Result<Database> {
    let endpoint = config.endpoints.get(name);
    let endpoint = endpoint.ok_or_else(|| Error::internal(format!("the endpoint {name} went unchecked")))?;
    let mut database = database(&endpoint.url)?;
    if let Some(most) = endpoint.log_rows_max {
        database.log_rows_max = most;
    }
    Ok(database)
}

/// Becomes true at the first Ctrl-C or SIGTERM; the second ends the process at once.
fn stop_signal() -> watch::Receiver<bool> {
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        for asked in 0.. {
            let terminated = async {
                match &mut terminate {
                    Some(signal) => {
                        signal.recv().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => {}
                () = terminated => {}
            }
            if asked > 0 {
                std::process::exit(130);
            }
            let _ = tell.send(true);
        }
    });
    stop
}

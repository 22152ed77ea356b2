//! The commands, a file for each; `wanted.rs` says what they are about.

mod both_ways;
mod conflicts;
mod demo;
mod direction;
mod plan;
mod quarantine;
mod resync;
mod run;
mod status;
mod sync;
mod teardown;
mod verify;
mod wanted;

use crate::args::{Args, Command};
use crate::output;
use tidewater_core::Result;
use tokio::sync::watch;

/// Everything is as it should be.
const DONE: u8 = 0;
/// Something differs, or a person should look.
const ATTENTION: u8 = 1;
/// An endpoint is unavailable.
const UNAVAILABLE: u8 = 3;

/// Whoever read the rows had enough: what the shell shows of a program that SIGPIPE ended.
const OUTPUT_CLOSED: u8 = 128 + 13;

/// Carries out what was typed; the exit code.
pub(crate) async fn carry_out(args: Args) -> Result<u8> {
    match args.command {
        Command::Demo => demo::demo().await,
        Command::Sync(args) if args.both.both_ways => both_ways::sync(args).await,
        Command::Sync(args) => sync::sync(args).await,
        Command::Plan(args) => plan::plan(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Status(args) => status::status(&args).await,
        Command::Verify(args) => verify::verify(args).await,
        Command::Conflicts(args) => conflicts::conflicts(args).await,
        Command::Resync(args) => resync::resync(args).await,
        Command::Quarantine(args) => quarantine::quarantine(args).await,
        Command::Teardown(args) => teardown::teardown(args).await,
    }
}

/// The worst of several syncs' outcomes: each is told, and one that failed keeps none of the others from its turn.
#[derive(Default)]
struct Worst {
    code: u8,
}

impl Worst {
    /// Notes one outcome. Where it is the only one, its failure is the command's.
    fn note(&mut self, name: &str, shown: &str, outcome: Result<u8>, alone: bool, json: bool) -> Result<()> {
        let code = match outcome {
            Ok(code) => code,
            Err(error) if alone => return Err(error),
            Err(error) => {
                output::failure_of(name, &format!("{shown} failed"), &error, json);
                crate::exit_code(&error)
            }
        };
        self.code = self.code.max(code);
        Ok(())
    }
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

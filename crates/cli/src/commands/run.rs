//! `tidewater run`: every sync of a configuration file, each link on its own.

use super::{ATTENTION, DONE, Wanted, configuration, from_configuration, stop_signal};
use crate::args::RunArgs;
use crate::endpoint::SqliteEnds;
use crate::output::{self, Named, Progress};
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{Link, Report, Run};
use tidewater_core::{Error, Result};
use tokio::task::JoinSet;

/// Runs them.
pub(crate) async fn run(args: RunArgs) -> Result<u8> {
    let run = if args.until_in_step { Run::UntilInStep } else { Run::Watch };
    let links = from_configuration(&configuration(args.config)?, &args.syncs, run)?;
    let progress = Arc::new(Progress::new(run == Run::Watch, args.json));
    let stop = stop_signal();
    let mut running = JoinSet::new();
    for wanted in links {
        let (progress, stop) = (progress.clone(), stop.clone());
        running.spawn(async move {
            let env = Env::real();
            let observer = Named::new(wanted.name.clone(), progress);
            let result = match SqliteEnds::writing(wanted.source.clone(), wanted.target.clone(), false, &env) {
                Ok(ends) => Link::new(ends, wanted.settings.clone(), env, observer, stop).run().await,
                Err(error) => Err(error),
            };
            (wanted, result)
        });
    }
    let mut worst = DONE;
    while let Some(ended) = running.join_next().await {
        let (wanted, result) = ended.map_err(|e| Error::internal(format!("a link broke off: {e}")))?;
        progress.clear();
        worst = worst.max(tell(&wanted, result, args.json));
    }
    Ok(worst)
}

/// One link's end. The others go on.
fn tell(wanted: &Wanted, result: Result<Report>, json: bool) -> u8 {
    let (source, target) = (&wanted.source.shown, &wanted.target.shown);
    match result {
        Ok(report) => {
            if json {
                let mut facts = output::report_json(source, target, &report);
                facts["sync"] = wanted.name.clone().into();
                output::line(&facts.to_string());
            } else {
                output::line(&format!("{}:", wanted.name));
                for line in output::summary(&wanted.source, &wanted.target, &report) {
                    output::line(&line);
                }
            }
            if report.needs_attention() { ATTENTION } else { DONE }
        }
        Err(error) => {
            output::failure_of(&wanted.name, &format!("{source} → {target} ended"), &error, json);
            crate::exit_code(&error)
        }
    }
}

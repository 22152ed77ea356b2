//! `tidewater run`: every sync of a configuration file, each link and each exchange on its own.

use super::both_ways::{code_of, exchange};
use super::direction::refuse_link;
use super::wanted::{Wanted, WantedExchange, WantedLink, configuration, from_configuration};
use super::{ATTENTION, DONE, OUTPUT_CLOSED, stop_signal};
use crate::args::RunArgs;
use crate::endpoint::Pair;
use crate::output::{self, Named, Progress};
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{ExchangeReport, Link, Report, Run};
use tidewater_core::{Error, Result, code};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs them.
pub(crate) async fn run(args: RunArgs) -> Result<u8> {
    let run = if args.until_in_step { Run::UntilInStep } else { Run::Watch };
    let all = from_configuration(&configuration(args.config)?, &args.syncs, run)?;
    if all.iter().any(|wanted| matches!(wanted, Wanted::Link(link) if link.target.is_stdout())) {
        output::keep_stdout_for_rows();
    }
    let progress = Arc::new(Progress::new(run == Run::Watch, args.json));
    let stop = stop_signal();
    let mut running = JoinSet::new();
    for wanted in all {
        running.spawn(carry_out(wanted, progress.clone(), stop.clone(), args.json));
    }
    let mut worst = DONE;
    while let Some(ended) = running.join_next().await {
        worst = worst.max(ended.map_err(|e| Error::internal(format!("a sync broke off: {e}")))?);
    }
    Ok(worst)
}

/// Runs one of them, and tells its end while the others go on. The exit code.
async fn carry_out(wanted: Wanted, progress: Arc<Progress>, stop: watch::Receiver<bool>, json: bool) -> u8 {
    let observer = Named::new(wanted.name().to_owned(), progress.clone());
    match wanted {
        Wanted::Link(wanted) => {
            let env = Env::real();
            let ends = Pair::writing(wanted.source.clone(), wanted.target.clone(), false, &env);
            let result = match ends.and_then(|ends| refuse_link(&wanted).map(|()| ends)) {
                Ok(ends) => Link::new(ends, wanted.settings.clone(), env, observer, stop).run().await,
                Err(error) => Err(error),
            };
            progress.clear();
            tell(&wanted, result, json)
        }
        Wanted::Exchange(wanted) => {
            let result = exchange(&wanted, observer, stop).await;
            progress.clear();
            tell_exchange(&wanted, result, json)
        }
    }
}

/// One link's end.
fn tell(wanted: &WantedLink, result: Result<Report>, json: bool) -> u8 {
    let (source, target) = (wanted.source.shown(), wanted.target.shown());
    match result {
        Ok(report) => {
            if json {
                let mut facts = output::report_json(&source, &target, &report);
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
        Err(closed) if closed.code == code::OUTPUT_CLOSED => OUTPUT_CLOSED,
        Err(error) => {
            output::failure_of(&wanted.name, &format!("{source} → {target} ended"), &error, json);
            crate::exit_code(&error)
        }
    }
}

/// One exchange's end.
fn tell_exchange(wanted: &WantedExchange, result: Result<ExchangeReport>, json: bool) -> u8 {
    match result {
        Ok(report) => {
            if json {
                let mut facts = output::exchange_json(&wanted.members, &report);
                facts["sync"] = wanted.name.clone().into();
                output::line(&facts.to_string());
            } else {
                output::line(&format!("{}:", wanted.name));
                output::exchange_summary(&wanted.members, &report).iter().for_each(|line| output::line(line));
            }
            code_of(&report)
        }
        Err(error) => {
            output::failure_of(&wanted.name, &format!("{} ended", wanted.shown()), &error, json);
            crate::exit_code(&error)
        }
    }
}

//! `tidewater sync A B --both-ways`: an exchange without a configuration file; and what all commands that run one share.

use super::direction::refuse_exchange;
use super::wanted::{WantedExchange, ad_hoc_exchange};
use super::{ATTENTION, DONE, UNAVAILABLE, stop_signal};
use crate::args::SyncArgs;
use crate::endpoint::{Endpoint, SqliteMember};
use crate::output::{self, Named, Progress};
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::link::{Exchange, ExchangeReport, Observer, Run};
use tokio::sync::watch;

/// Runs it.
pub(super) async fn sync(args: SyncArgs) -> Result<u8> {
    let run = if args.watch { Run::Watch } else { Run::UntilInStep };
    let (source, target) = (Endpoint::parse(&args.source)?, Endpoint::parse(&args.target)?);
    // What was never there is a mistake in the command, not something that passes.
    if source.is_missing() && target.is_missing() {
        let meaning = "Nor is there the other one. A side that is missing is made from the other. Nothing was changed.";
        return Err(source.missing(meaning));
    }
    let mut wanted = ad_hoc_exchange(source.for_both_ways()?, target.for_both_ways()?, &args.tables, &args.both, run);
    wanted.settings.journal_keep_days = args.journal_keep_days;
    let progress = Arc::new(Progress::new(args.watch, args.json));
    let observer = Named::new(wanted.shown(), progress.clone());
    let report = exchange(&wanted, observer, stop_signal()).await;
    progress.clear();
    let report = report?;
    if args.json {
        output::line(&output::exchange_json(&wanted.members, &report).to_string());
    } else {
        output::exchange_summary(&wanted.members, &report).iter().for_each(|line| output::line(line));
    }
    Ok(code_of(&report))
}

/// Runs an exchange to its end.
pub(super) async fn exchange(
    wanted: &WantedExchange,
    observer: Arc<dyn Observer>,
    stop: watch::Receiver<bool>,
) -> Result<ExchangeReport> {
    let env = Env::real();
    let members = SqliteMember::all(&wanted.members, false, &env)?;
    refuse_exchange(wanted)?;
    Exchange::new(members, wanted.settings.clone(), env, observer, stop).run().await
}

/// The exit code.
pub(super) fn code_of(report: &ExchangeReport) -> u8 {
    match report.needs_attention() {
        true if report.members.iter().any(|member| member.away.is_some()) => UNAVAILABLE,
        true => ATTENTION,
        false => DONE,
    }
}

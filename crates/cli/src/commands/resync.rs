//! `tidewater resync`: reads all of some tables again and sends what differs, as a run of the sync.

use super::direction::refuse_link;
use super::wanted::WantedLink;
use super::{ATTENTION, DONE, Worst, stop_signal};
use crate::args::ResyncArgs;
use crate::endpoint::Pair;
use crate::output::{self, Named, Progress};
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{Behind, Link, Run, link_id};
use tidewater_core::{Error, Kind, Result, code};
use tokio::sync::watch;

/// Carries it out, for each link.
pub(crate) async fn resync(args: ResyncArgs) -> Result<u8> {
    let json = args.json;
    let Some((whose, tables)) = args.divided() else {
        return Err(Error::new(Kind::Invalid, code::USAGE, "it is not said which tables of which sync are meant")
            .meaning("Nothing was read or written.")
            .remedy(
                "Write: tidewater resync SOURCE TARGET TABLE…, or: tidewater resync SYNC TABLE…; --all for all tables.",
            ));
    };
    let links = whose.links()?;
    let (alone, mut worst) = (links.len() == 1, Worst::default());
    let stop = stop_signal();
    for mut link in links {
        link.settings.resync = Some(tables.clone());
        let outcome = one(&link, &stop, json).await;
        worst.note(&link.name, &link.shown(), outcome, alone, json)?;
    }
    Ok(worst.code)
}

async fn one(wanted: &WantedLink, stop: &watch::Receiver<bool>, json: bool) -> Result<u8> {
    if wanted.target.is_missing() {
        return Err(wanted.target.missing("There is nothing to compare. Nothing was changed."));
    }
    refuse_link(wanted)?;
    let env = Env::real();
    let mut settings = wanted.settings.clone();
    settings.run = Run::UntilInStep;
    settings.keeps_log = keeps_log(wanted, &env).await;
    let progress = Arc::new(Progress::new(false, json));
    let observer = Named::new(wanted.shown(), progress.clone());
    let ends = Pair::writing(wanted.source.clone(), wanted.target.clone(), false, &env)?;
    let report = Link::new(ends, settings, env, observer, stop.clone()).run().await;
    progress.clear();
    let (source, target, report) = (wanted.source.shown(), wanted.target.shown(), report?);
    if json {
        output::line(&output::report_json(&source, &target, &report).to_string());
    } else {
        output::summary(&wanted.source, &wanted.target, &report).iter().for_each(|line| output::line(line));
    }
    Ok(if report.needs_attention() { ATTENTION } else { DONE })
}

/// Whether the source keeps its log for the link between runs: that stays as it is.
async fn keeps_log(wanted: &WantedLink, env: &Env) -> bool {
    let (source, target) = (wanted.source.status(env).await, wanted.target.status(env).await);
    let (Ok(source), Ok(target)) = (source, target) else { return false };
    let (Some(from), Some(to)) = (source.identity, target.identity) else { return false };
    let link = link_id(&wanted.settings.sync, &from, &to);
    source.followers.iter().any(|follower| follower.link == link && follower.behind != Behind::Resting)
}

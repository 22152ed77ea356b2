//! `tidewater quarantine retry`: reads rows again from the source and tries to write them now.

use super::{DONE, Worst};
use crate::args::RetryArgs;
use crate::commands::wanted::WantedLink;
use crate::commands::{ATTENTION, stop_signal};
use crate::endpoint::Pair;
use crate::output::{self, GOOD, LOOK, Progress, STRONG, count, styled};
use serde_json::json;
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{Link, Retried};
use tidewater_core::{Error, Kind, Result, code};
use tokio::sync::watch;

/// Rows named one by one; more are counted.
const NAMED: usize = 10;

/// Tries them, of each link.
pub(super) async fn retry(args: RetryArgs) -> Result<u8> {
    let links = args.whose.links()?;
    let (alone, mut worst) = (links.len() == 1, Worst::default());
    let stop = stop_signal();
    for link in links {
        let outcome = one(&link, &args, &stop).await;
        worst.note(&link.name, &link.shown(), outcome, alone, args.whose.json)?;
    }
    Ok(worst.code)
}

async fn one(wanted: &WantedLink, args: &RetryArgs, stop: &watch::Receiver<bool>) -> Result<u8> {
    if wanted.target.is_missing() {
        return Err(wanted.target.missing("There is nothing to try again. Nothing was changed."));
    }
    let (env, progress) = (Env::real(), Arc::new(Progress::new(false, args.whose.json)));
    let ends = Pair::writing(wanted.source.clone(), wanted.target.clone(), true, &env)?;
    let mut link = Link::new(ends, wanted.settings.clone(), env, progress.clone(), stop.clone());
    let retried = link.retry(args.whose.table.as_deref(), &args.key).await;
    progress.clear();
    let retried = retried?;
    if retried.tried == 0 && !args.key.is_empty() {
        return Err(no_such_row(wanted, args));
    }
    if args.whose.json {
        output::line(&facts(wanted, &retried).to_string());
    } else {
        lines(wanted, &retried).iter().for_each(|line| output::line(line));
    }
    Ok(if retried.failed_rows > 0 || !retried.skipped.is_empty() { ATTENTION } else { DONE })
}

fn no_such_row(wanted: &WantedLink, args: &RetryArgs) -> Error {
    let (table, keys) = (args.whose.table.as_deref().unwrap_or_default(), args.key.join(" or "));
    let what = format!("{} has no row of {table} in quarantine with the key {keys}", wanted.target.shown());
    Error::new(Kind::Invalid, code::USAGE, what)
        .meaning("Nothing was changed.")
        .remedy(format!("List them with: tidewater quarantine list {}", wanted.target.typed()))
}

fn lines(wanted: &WantedLink, retried: &Retried) -> Vec<String> {
    let mut lines = vec![styled(STRONG, &wanted.shown())];
    if retried.tried == 0 && retried.skipped.is_empty() {
        lines.push("  no rows in quarantine".to_owned());
        return lines;
    }
    let mut facts = vec![format!("{} tried again", count(retried.tried, "row", "rows"))];
    facts.push(styled(GOOD, &format!("{} written or gone at the source", retried.written)));
    if retried.failed_rows > 0 {
        facts.push(styled(LOOK, &format!("{} still cannot be written", retried.failed_rows)));
    }
    if retried.passed_over > 0 {
        facts.push(format!("{} settled by another run meanwhile", retried.passed_over));
    }
    lines.push(format!("  {}", facts.join(" · ")));
    for held in retried.failed.iter().take(NAMED) {
        lines.push(styled(LOOK, &format!("  E0050 {} key {}: {}", held.table, held.key, held.reason)));
    }
    if retried.failed_rows > NAMED as u64 {
        let rest = retried.failed_rows - NAMED as u64;
        lines.push(format!("  and {rest} more; tidewater quarantine list {}", wanted.target.typed()));
    }
    for (table, why) in &retried.skipped {
        lines.push(styled(LOOK, &format!("  {table} was not tried: {why}")));
    }
    if retried.journaled > 0 {
        let rows = count(retried.journaled, "row", "rows");
        let url = wanted.target.typed();
        lines.push(format!(
            "  {rows} replaced or deleted; undo with: tidewater conflicts restore {url} --run {}",
            retried.run
        ));
    }
    lines
}

fn facts(wanted: &WantedLink, retried: &Retried) -> serde_json::Value {
    let failed =
        retried.failed.iter().map(|h| json!({ "table": h.table, "key": h.key.to_string(), "reason": h.reason }));
    let skipped = retried.skipped.iter().map(|(table, why)| json!({ "table": table, "reason": why }));
    json!({
        "sync": wanted.name, "source": wanted.source.shown(), "target": wanted.target.shown(), "tried": retried.tried,
        "written": retried.written, "failed": retried.failed_rows, "rows": failed.collect::<Vec<_>>(),
        "passed_over": retried.passed_over, "skipped": skipped.collect::<Vec<_>>(), "run": retried.run,
        "rows_journaled": retried.journaled,
    })
}

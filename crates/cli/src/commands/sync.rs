//! `tidewater sync A B`: a link without a configuration file. Both ways: `both_ways.rs`.

use super::direction::refuse_link;
use super::wanted::{WantedLink, ad_hoc_scope};
use super::{ATTENTION, DONE, OUTPUT_CLOSED, stop_signal};
use crate::args::SyncArgs;
use crate::endpoint::{Endpoint, Pair};
use crate::output::{self, Named, Progress};
use std::sync::Arc;
use tidewater_core::env::Env;
use tidewater_core::link::{Link, Run, Settings};
use tidewater_core::{Error, Kind, Result, code};

/// Runs it.
pub(crate) async fn sync(args: SyncArgs) -> Result<u8> {
    let run = match (args.watch, args.once) {
        (true, _) => Run::Watch,
        (_, true) => Run::Once,
        _ => Run::UntilInStep,
    };
    if args.target.starts_with("stdout:") {
        output::keep_stdout_for_rows();
    }
    let (source, target) = (Endpoint::parse(&args.source)?, target(&args)?);
    let (source_name, target_name) = (source.shown(), target.shown());
    let env = Env::real();
    let ends = Pair::writing(source, target, args.once, &env)?;
    let settings = Settings {
        scope: ad_hoc_scope(&args.tables),
        existing: args.existing.into(),
        protect: args.protect,
        rows_per_second_max: args.rows_per_second_max,
        journal_keep_days: args.journal_keep_days,
        keeps_log: args.keep_slot,
        spool: args.spool.choice().settings(),
        run,
        ..Settings::default()
    };
    let (source, target) = (ends.source.clone(), ends.target.clone());
    let wanted = WantedLink { name: "sync".to_owned(), source, target, settings }.checked()?;
    if !args.once {
        refuse_link(&wanted)?;
    }
    let progress = Arc::new(Progress::new(args.watch, args.json));
    let observer = Named::new(format!("{source_name} → {target_name}"), progress.clone());
    let mut link = Link::new(ends.clone(), wanted.settings, env, observer, stop_signal());
    let report = link.run().await;
    progress.clear();
    let report = match report {
        Err(closed) if closed.code == code::OUTPUT_CLOSED => return Ok(OUTPUT_CLOSED),
        report => report?,
    };
    if args.json {
        output::line(&output::report_json(&source_name, &target_name, &report).to_string());
    } else {
        for line in output::summary(&ends.source, &ends.target, &report) {
            output::line(&line);
        }
    }
    Ok(if report.needs_attention() { ATTENTION } else { DONE })
}

/// The target, with its state file where one is named.
fn target(args: &SyncArgs) -> Result<Endpoint> {
    let target = Endpoint::parse(&args.target)?;
    match (target, &args.state) {
        (target, None) => Ok(target),
        (Endpoint::Stdout(output), Some(state)) if !output.is_resumable() => {
            Ok(Endpoint::Stdout(output.with_state(state.clone())))
        }
        (target, Some(_)) => {
            let what = format!("--state does not go with the target {}", target.shown());
            Err(Error::new(Kind::Invalid, code::USAGE, what)
                .meaning("A database remembers by itself how far a sync came, and stdout: has one file for it.")
                .remedy("Leave --state out."))
        }
    }
}

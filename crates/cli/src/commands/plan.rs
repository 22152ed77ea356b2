//! `tidewater plan`: what a sync would do. Writes nothing. Both ways: `plan/exchange.rs`.

mod exchange;

use super::wanted::{Wanted, WantedLink, wanted};
use super::{ATTENTION, DONE, Worst, stop_signal};
use crate::args::PlanArgs;
use crate::endpoint::{Endpoint, Pair};
use crate::output::{self, FAINT, LOOK, Progress, STRONG, number, styled};
use serde_json::{Value, json};
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::link::{Link, Plan, PlannedTable};
use tokio::sync::watch;

/// Plans every link and every exchange.
pub(crate) async fn plan(args: PlanArgs) -> Result<u8> {
    let json = args.pair.json;
    let all = wanted(args.pair, Some(&args.both))?;
    let (alone, mut worst) = (all.len() == 1, Worst::default());
    let stop = stop_signal();
    for wanted in all {
        let outcome = match &wanted {
            Wanted::Link(link) => plan_one(link, json, &stop).await,
            Wanted::Exchange(exchange) => exchange::plan(exchange, json, &stop).await,
        };
        worst.note(wanted.name(), &wanted.shown(), outcome, alone, json)?;
    }
    Ok(worst.code)
}

async fn plan_one(wanted: &WantedLink, json: bool, stop: &watch::Receiver<bool>) -> Result<u8> {
    let env = Env::real();
    let progress = Arc::new(Progress::new(false, json));
    let ends = Pair::looking(wanted.source.clone(), wanted.target.clone(), &env)?;
    let mut link = Link::new(ends, wanted.settings.clone(), env, progress.clone(), stop.clone());
    let plan = link.plan().await;
    progress.clear();
    let plan = plan?;
    if json {
        output::line(&facts(wanted, &plan).to_string());
    } else {
        lines(wanted, &plan).iter().for_each(|line| output::line(line));
    }
    Ok(if plan.tables.iter().any(stands_in_the_way) { ATTENTION } else { DONE })
}

/// Whether a run with `--existing refuse` would refuse, or halt, because of this table.
fn stands_in_the_way(table: &PlannedTable) -> bool {
    let first = table.action.starts_with("compare");
    table.unfit.is_some() || (first && table.counts.as_ref().is_some_and(tidewater_core::link::Counts::collides))
}

fn lines(wanted: &WantedLink, plan: &Plan) -> Vec<String> {
    let mut lines = vec![styled(STRONG, &wanted.shown())];
    let rows = plan.tables.iter().map(|t| {
        let name = if t.source == t.target { t.source.clone() } else { format!("{} as {}", t.source, t.target) };
        let compared = match &t.counts {
            Some(c) => format!(
                "{} equal, {} differ, {} only in source, {} only in target",
                number(c.equal),
                number(c.differ),
                number(c.missing),
                number(c.extra)
            ),
            None => String::new(),
        };
        let target = t.target_rows.map_or("none".to_owned(), number);
        vec![name, t.key.clone(), number(t.source_rows), target, t.action.clone(), compared]
    });
    let header = ["table", "key", "source rows", "target rows", "first", "now"];
    lines.push(output::table(&header, rows.collect(), &[2, 3]));
    for table in &plan.tables {
        if let Some(why) = &table.unfit {
            lines.push(styled(LOOK, &format!("{} does not fit: {why}", table.source)));
        }
    }
    lines.push(format!("Would install in {}: {}.", wanted.source.shown(), wanted.source.installs_as_source()));
    lines.push(format!("Would keep in {}: {}.", wanted.target.shown(), wanted.target.keeps_as_target()));
    lines.extend(wanted.spool().map(crate::spool::planned));
    if let Endpoint::Postgres(_) = wanted.target {
        lines.push(
            "Sequences of these tables' columns there would be moved on as far as the rows and the source's own, never back."
                .to_owned(),
        );
    }
    let listed = |trigger: &str| wanted.settings.run_triggers.iter().any(|name| name.eq_ignore_ascii_case(trigger));
    for (trigger, table) in plan.target_triggers.iter().filter(|(trigger, _)| listed(trigger)) {
        let how = wanted.target.how_it_runs();
        lines
            .push(format!("Trigger {trigger} on {table} at the target would run for rows that Tidewater writes{how}."));
    }
    if wanted.settings.protect {
        lines.push(format!(
            "Would keep other programs from writing these tables in {}, by a trigger on each.",
            wanted.target.shown()
        ));
    }
    for (trigger, table) in plan.target_triggers.iter().filter(|(trigger, _)| !listed(trigger)) {
        lines.push(format!(
            "Trigger {trigger} on {table} at the target does not run for rows that Tidewater writes: its effects \
             arrive from the source. List it in run_triggers to run it."
        ));
    }
    lines.extend(plan.notes.iter().map(|note| styled(LOOK, note)));
    lines.extend(plan.skipped.iter().map(|(table, why)| styled(FAINT, &format!("skipped {table}: {why}"))));
    if plan.tables.iter().any(stands_in_the_way) {
        lines.push(styled(LOOK, "A run would stop here (E0021, E0023): see `tidewater sync --help`, --existing."));
    }
    lines
}

fn facts(wanted: &WantedLink, plan: &Plan) -> Value {
    let tables: Vec<Value> = plan
        .tables
        .iter()
        .map(|t| {
            let counts = t.counts.as_ref();
            json!({
                "source": t.source, "target": t.target, "key": t.key,
                "source_rows": t.source_rows, "target_rows": t.target_rows, "first": t.action, "unfit": t.unfit,
                "equal": counts.map(|c| c.equal), "differ": counts.map(|c| c.differ),
                "only_in_source": counts.map(|c| c.missing), "only_in_target": counts.map(|c| c.extra),
            })
        })
        .collect();
    let pairs = |list: &[(String, String)], a: &str, b: &str| -> Vec<Value> {
        list.iter().map(|(x, y)| json!({ a: x, b: y })).collect()
    };
    json!({
        "sync": wanted.name, "source": wanted.source.shown(), "target": wanted.target.shown(), "tables": tables,
        "skipped": pairs(&plan.skipped, "table", "reason"),
        "spool": wanted.spool().map(|spool| json!({
            "folder": spool.folder.display().to_string(), "bytes_max": spool.bytes_max,
        })),
        "target_triggers": pairs(&plan.target_triggers, "trigger", "table"), "notes": plan.notes,
    })
}

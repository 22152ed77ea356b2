//! The plan of a sync both ways: which tables, by which rules, what each side holds now, and what would be put where.

use crate::commands::wanted::WantedExchange;
use crate::commands::{ATTENTION, DONE};
use crate::endpoint::{SqliteMember, typed};
use crate::output::{self, FAINT, LOOK, Progress, STRONG, count, number, styled};
use serde_json::{Value, json};
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::link::{Counts, Exchange, ExchangePlan, PlannedShare, Prefer};
use tidewater_core::merge::{DeleteUpdate, Orphans, Policy};
use tidewater_sqlite::status;
use tokio::sync::watch;

/// Plans one exchange.
pub(super) async fn plan(wanted: &WantedExchange, json: bool, stop: &watch::Receiver<bool>) -> Result<u8> {
    let env = Env::real();
    let progress = Arc::new(Progress::new(false, json));
    let members = SqliteMember::all(&wanted.members, true, &env)?;
    let mut exchange = Exchange::new(members, wanted.settings.clone(), env, progress.clone(), stop.clone());
    let plan = exchange.plan().await;
    progress.clear();
    let plan = plan?;
    let shared = Sharing::of(wanted);
    let refused = plan.tables.iter().any(|table| !table.unfit.is_empty() || would_refuse(wanted, table, &shared));
    if json {
        output::line(&facts(wanted, &plan, refused).to_string());
    } else {
        lines(wanted, &plan, &shared, refused).iter().for_each(|line| output::line(line));
    }
    Ok(if refused { ATTENTION } else { DONE })
}

/// Whether a run would refuse because of this table: it meets for the first time, and nobody said whose rows count.
fn would_refuse(wanted: &WantedExchange, table: &PlannedShare, shared: &Sharing) -> bool {
    let differs = |at: usize| table.counts.iter().any(|(other, counts)| *other == at && counts.differ > 0);
    let shares = |at: usize| shared.has(at, &table.name);
    let hub = hub(wanted, table).unwrap_or(0);
    wanted.settings.prefer.is_none() && (0..wanted.members.len()).any(|at| differs(at) && !(shares(hub) && shares(at)))
}

/// By member: the tables that it shares both ways already.
struct Sharing(Vec<Vec<String>>);

impl Sharing {
    fn of(wanted: &WantedExchange) -> Self {
        let tables = |member: &SqliteMember| {
            let status = status(&member.database, &Env::real()).ok();
            let tables = status.and_then(|status| status.replica).map(|replica| replica.tables).unwrap_or_default();
            tables.into_iter().map(|(table, _)| table).collect()
        };
        Self(wanted.members.iter().map(tables).collect())
    }

    fn has(&self, member: usize, table: &str) -> bool {
        self.0[member].iter().any(|known| known.eq_ignore_ascii_case(table))
    }
}

/// What would be put where, and where it is already.
fn installs(names: &[&str], tables: &[PlannedShare], shared: &Sharing) -> Vec<String> {
    const WHAT: &str = "a change log and 4 to 6 triggers on each table, versions of its rows, and a journal of \
                        conflicts (_tidewater_…)";
    let mut lines = Vec::new();
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        let missing: Vec<&str> =
            tables.iter().map(|table| table.name.as_str()).filter(|table| !shared.has(at, table)).collect();
        match missing.len() {
            0 => old.push(*name),
            n if n == tables.len() => new.push(*name),
            _ => lines.push(format!("Would install in {name}, for {} too: {WHAT}.", missing.join(", "))),
        }
    }
    if !new.is_empty() {
        let place = if new.len() == names.len() { "each".to_owned() } else { new.join(", ") };
        lines.insert(0, format!("Would install in {place}: {WHAT}."));
    }
    if !old.is_empty() {
        let place = if old.len() == names.len() { "each".to_owned() } else { old.join(", ") };
        lines.push(format!("Installed already in {place}: {WHAT}."));
    }
    lines
}

/// The member that the others are compared with: the first that is there and holds everything.
fn hub(wanted: &WantedExchange, table: &PlannedShare) -> Option<usize> {
    (0..table.rows.len()).find(|at| table.rows[*at].is_some() && !wanted.settings.parts.contains_key(at))
}

/// What members hold that do not hold everything.
fn parts<'a>(wanted: &'a WantedExchange, names: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let all = wanted.settings.parts.iter().flat_map(|(at, parts)| parts.iter().map(move |part| (*at, part)));
    all.map(|(at, (table, part))| {
        let mut held = match (&part.include, &part.exclude[..]) {
            (Some(columns), _) => format!("the key, {}", columns.join(", ")),
            (None, []) => "all columns".to_owned(),
            (None, columns) => format!("all columns but {}", columns.join(", ")),
        };
        if let Some(filter) = &part.filter {
            held.push_str(&format!(", rows where {}", filter.text()));
        }
        format!("{} holds a part of {table}: {held}", names[at])
    })
}

fn lines(wanted: &WantedExchange, plan: &ExchangePlan, shared: &Sharing, refused: bool) -> Vec<String> {
    let names: Vec<&str> = wanted.members.iter().map(|member| member.database.shown.as_str()).collect();
    let mut lines = vec![styled(STRONG, &wanted.shown())];
    let header: Vec<&str> = ["table", "key"].into_iter().chain(names.iter().copied()).chain(["rules"]).collect();
    let numbers: Vec<usize> = (2..2 + names.len()).collect();
    let rows = plan.tables.iter().map(|table| {
        let held = table.rows.iter().zip(&plan.away).map(|(rows, away)| match (rows, away) {
            (Some(rows), _) => number(*rows),
            (None, Some(_)) => "away".to_owned(),
            (None, None) => "to create".to_owned(),
        });
        [table.name.clone(), table.key.join(", ")].into_iter().chain(held).chain([rules(&table.policy)]).collect()
    });
    lines.push(output::table(&header, rows.collect(), &numbers));
    lines.extend(parts(wanted, &names));
    for table in &plan.tables {
        for (other, counts) in &table.counts {
            lines.extend(hub(wanted, table).and_then(|hub| difference(table, counts, &names, (hub, *other))));
        }
        for (at, why) in &table.unfit {
            lines.push(styled(LOOK, &format!("E0023 {} does not fit at {}: {why}", table.name, names[*at])));
        }
    }
    for (member, away) in wanted.members.iter().zip(&plan.away) {
        match away {
            Some(why) => {
                let why = why.lines().next().unwrap_or_default();
                lines.push(styled(LOOK, &format!("{} is away: {why}", member.database.shown)));
            }
            None if !member.database.exists() => {
                lines.push(format!("Would create {}, and fill it from the others.", member.database.shown));
            }
            None => {}
        }
    }
    lines.extend(installs(&names, &plan.tables, shared));
    lines.extend(wanted.settings.journal_keep_days.map(|days| {
        let days = count(days, "day", "days");
        format!("Journals forget conflicts {days} after they were superseded, and no others.")
    }));
    lines.extend(plan.skipped.iter().map(|(table, why)| styled(FAINT, &format!("skipped {table}: {why}"))));
    lines.push(match &wanted.settings.prefer {
        Some(Prefer::Member(at)) => {
            format!(
                "Where rows differ at first contact, those of {} count; the others are kept in the journal.",
                names[*at]
            )
        }
        Some(Prefer::Newest(column)) => {
            format!(
                "Where rows differ at first contact, the greater {column} counts; the others are kept in the journal."
            )
        }
        None if refused => styled(LOOK, "A run would stop here (E0021, E0023): see `tidewater sync --help`, --prefer."),
        None => format!("Take it out with: tidewater teardown {}", typed(&wanted.members[0].database)),
    });
    lines
}

/// How two sides differ in one table, if they do.
fn difference(table: &PlannedShare, counts: &Counts, names: &[&str], (hub, other): (usize, usize)) -> Option<String> {
    let only = [(counts.missing, names[hub]), (counts.extra, names[other])];
    let mut facts = Vec::new();
    if counts.differ > 0 {
        facts.push(styled(LOOK, &count(counts.differ, "row differs", "rows differ")));
    }
    facts.extend(only.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{} only in {name}", number(*n))));
    (!facts.is_empty()).then(|| {
        format!(
            "{}: {} equal, {} ({} ↔ {})",
            table.name,
            number(counts.equal),
            facts.join(", "),
            names[hub],
            names[other]
        )
    })
}

/// The rules of a table in a few words.
fn rules(policy: &Policy) -> String {
    let mut words = vec![policy.row.word()];
    words.extend(policy.columns.iter().map(|(column, rule)| format!("{column} {}", rule.word())));
    words.extend(policy.together.iter().map(|columns| format!("{} together", columns.join("+"))));
    if policy.delete_update != DeleteUpdate::default() {
        words.push("a delete wins".to_owned());
    }
    if policy.orphans != Orphans::default() {
        words.push("orphans are kept".to_owned());
    }
    words.join(", ")
}

fn facts(wanted: &WantedExchange, plan: &ExchangePlan, refused: bool) -> Value {
    let shown = |at: usize| wanted.members[at].database.shown.as_str();
    let tables = plan.tables.iter().map(|table| {
        let compared = table.counts.iter().map(|(other, c)| {
            json!({
                "database": shown(*other), "equal": c.equal, "differ": c.differ,
                "only_in_first": c.missing, "only_there": c.extra,
            })
        });
        let unfit = table.unfit.iter().map(|(at, why)| json!({ "database": shown(*at), "reason": why }));
        json!({
            "table": table.name, "key": table.key, "rows": table.rows, "rules": rules(&table.policy),
            "compared": compared.collect::<Vec<_>>(), "unfit": unfit.collect::<Vec<_>>(),
        })
    });
    let members = wanted.members.iter().zip(&plan.away).map(|(member, away)| {
        json!({
            "database": member.database.shown, "endpoint": member.endpoint,
            "missing": !member.database.exists(), "away": away,
        })
    });
    let skipped: Vec<Value> = plan.skipped.iter().map(|(t, why)| json!({ "table": t, "reason": why })).collect();
    json!({
        "sync": wanted.name, "members": members.collect::<Vec<_>>(), "tables": tables.collect::<Vec<_>>(),
        "skipped": skipped, "would_refuse": refused,
    })
}

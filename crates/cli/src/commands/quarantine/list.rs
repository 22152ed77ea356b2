//! `tidewater quarantine list`: what could not be written, and why, page by page.

use super::{DONE, Found, each};
use crate::args::ListHeldArgs;
use crate::endpoint::quoted;
use crate::output::{self, FAINT, STRONG, number, styled};
use serde_json::{Value, json};
use tidewater_core::Result;
use tidewater_core::apply::{Quarantined, Which};
use tidewater_core::env::Env;

/// Lists them, of each target.
pub(super) async fn list(args: ListHeldArgs) -> Result<u8> {
    each(&args.whose, "its quarantine", async |found, env| one(found, &args, env).await).await
}

/// A page of one target's quarantine.
struct Listed {
    entries: Vec<Quarantined>,
    /// How many there are, where that is known.
    total: Option<u64>,
    /// Whether there is a page after this one.
    more: bool,
}

async fn one(found: &Found, args: &ListHeldArgs, env: &Env) -> Result<u8> {
    let which = Which {
        discarded: args.discarded,
        skip: (args.page - 1) * args.limit,
        rows_max: args.limit + 1,
        ..found.which(args.whose.table.as_ref())
    };
    let mut entries = match found.links.is_empty() {
        true => vec![],
        false => found.target.quarantine(&which, env).await?,
    };
    let more = entries.len() as u64 > args.limit;
    entries.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let listed = Listed { entries, total: total(found, args), more };
    if args.whose.json {
        output::line(&facts(found, &listed).to_string());
    } else {
        lines(found, args, &listed).iter().for_each(|line| output::line(line));
    }
    Ok(DONE)
}

fn total(found: &Found, args: &ListHeldArgs) -> Option<u64> {
    let tables = found.links.iter().flat_map(|link| &link.tables);
    let of = |name: &String| args.whose.table.as_ref().is_none_or(|table| table == name);
    match (args.discarded, &args.whose.table) {
        (false, _) => Some(tables.filter(|table| of(&table.name)).map(|table| table.held).sum()),
        (true, None) => Some(found.links.iter().map(|link| link.discarded).sum()),
        (true, Some(_)) => None,
    }
}

fn source_of<'f>(found: &'f Found, entry: &Quarantined) -> &'f str {
    found.links.iter().find(|link| link.link == entry.link).map_or("", |link| &link.source)
}

fn lines(found: &Found, args: &ListHeldArgs, listed: &Listed) -> Vec<String> {
    let mut lines = vec![styled(STRONG, &found.target.shown())];
    let what = if args.discarded { "no discarded rows" } else { "no rows in quarantine" };
    let Some(first) = listed.entries.first() else {
        let where_ = if args.page > 1 { " on this page" } else { "" };
        lines.push(format!("  {what}{where_}"));
        return lines;
    };
    let several = found.links.len() > 1;
    let rows = listed.entries.iter().map(|entry| {
        let from = several.then(|| source_of(found, entry).to_owned());
        let when = entry.discarded_at.clone().unwrap_or_else(|| entry.since.clone());
        let row = [entry.held.table.clone(), entry.held.key.to_string(), when, number(entry.tries)];
        from.into_iter().chain(row).chain([entry.held.reason.clone()]).collect()
    });
    let when = if args.discarded { "discarded (UTC)" } else { "since (UTC)" };
    let header: Vec<&str> =
        several.then_some("from").into_iter().chain(["table", "key", when, "tried", "reason"]).collect();
    lines.push(output::table(&header, rows.collect(), &[if several { 4 } else { 3 }]));
    lines.extend(foot(found, args, listed).map(|foot| styled(FAINT, &format!("  {foot}"))));
    let (table, key) = (quoted(&first.held.table), quoted(&first.held.key.to_string()));
    if args.discarded {
        lines.push(
            "They are tried again when they change at the source; `tidewater verify --repair` sends them now."
                .to_owned(),
        );
        return lines;
    }
    let whose = if found.has_source { found.typed.clone() } else { format!("SOURCE {}", found.target.typed()) };
    lines.push(format!("Runs try them again by themselves. At once: tidewater quarantine retry {whose}"));
    lines.push(format!("Give one up: tidewater quarantine discard {} --table {table} --key {key}", found.typed));
    lines
}

/// Which part of all this is, and the command for the next one; nothing where it is all.
fn foot(found: &Found, args: &ListHeldArgs, listed: &Listed) -> Option<String> {
    let before = (args.page - 1) * args.limit;
    if before == 0 && !listed.more {
        return None;
    }
    let total = listed.total.map_or(String::new(), |total| format!(" of {}", number(total)));
    let through = before + listed.entries.len() as u64;
    let part = format!("Showing {} to {}{total}", number(before + 1), number(through));
    if !listed.more {
        return Some(format!("{part}, the last page."));
    }
    let mut next = format!("tidewater quarantine list {}", found.typed);
    next.extend(args.whose.table.as_ref().map(|table| format!(" --table {}", quoted(table))));
    if args.discarded {
        next.push_str(" --discarded");
    }
    if args.limit != ListHeldArgs::LIMIT {
        next.push_str(&format!(" --limit {}", args.limit));
    }
    Some(format!("{part}; the next page: {next} --page {}", args.page + 1))
}

fn facts(found: &Found, listed: &Listed) -> Value {
    let row = |entry: &Quarantined| {
        json!({
            "source": source_of(found, entry), "table": entry.held.table, "key": entry.held.key.to_string(),
            "since": entry.since, "tries": entry.tries, "reason": entry.held.reason, "discarded_at": entry.discarded_at,
        })
    };
    json!({
        "database": found.target.shown(), "rows": listed.entries.iter().map(row).collect::<Vec<_>>(),
        "total": listed.total, "more": listed.more,
    })
}

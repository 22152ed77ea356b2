//! `tidewater conflicts list`: what the journal holds, the latest first.

use super::{Journal, facts, hexadecimal, kind, state, time, writer};
use crate::args::JournalArgs;
use crate::commands::DONE;
use crate::endpoint::typed;
use crate::output::{self, FAINT, LOOK, count, styled};
use serde_json::{Value, json};
use tidewater_core::Result;
use tidewater_core::replica::{Entry, Selection};
use tidewater_sqlite::{Access, Database};

/// Digits of an ID that are shown at least.
pub(super) const DIGITS_MIN: usize = 8;

/// What was asked for, and whether that is all.
pub(crate) struct Listed {
    pub(crate) entries: Vec<Entry>,
    pub(crate) more: bool,
}

impl Listed {
    /// Reads the journal.
    pub(crate) async fn read(journal: &mut Journal, selection: Selection) -> Result<Self> {
        let limit = selection.rows_max;
        // One more than is shown tells whether there are more.
        let rows_max = if limit == 0 { 0 } else { limit.saturating_add(1) };
        let mut entries = journal.conflicts(&Selection { rows_max, ..selection }).await?;
        let more = limit > 0 && entries.len() > limit;
        if more {
            entries.truncate(limit);
        }
        Ok(Self { entries, more })
    }
}

/// Lists them.
pub(super) async fn list(args: &JournalArgs, selection: Selection) -> Result<u8> {
    let narrowed = selection != Selection { rows_max: selection.rows_max, ..Selection::default() };
    let mut journal = Journal::open(&args.url, Access::Read)?;
    let listed = Listed::read(&mut journal, selection).await?;
    if args.json {
        let conflicts: Vec<Value> = listed.entries.iter().map(facts::entry).collect();
        let runs = journal.status.journal.iter().map(|(run, rows)| json!({ "run": run, "rows": rows }));
        let facts = json!({
            "database": journal.database.shown, "conflicts": conflicts, "more": listed.more,
            "runs": runs.collect::<Vec<_>>(),
        });
        output::line(&facts.to_string());
        return Ok(DONE);
    }
    if listed.entries.is_empty() {
        let which = if narrowed { "no such conflicts" } else { "no conflicts" };
        output::line(&format!("{}: {which}", journal.database.shown));
    }
    lines(&journal.database, &listed).iter().for_each(|line| output::line(line));
    for (run, rows) in journal.status.journal.iter().filter(|_| !narrowed) {
        output::line(&format!(
            "One way, run {run} replaced or deleted {}; undo with: tidewater conflicts restore {} --run {run}",
            count(*rows, "row", "rows"),
            typed(&journal.database)
        ));
    }
    Ok(DONE)
}

/// An aligned table, and how to go on.
pub(crate) fn lines(database: &Database, listed: &Listed) -> Vec<String> {
    let entries = &listed.entries;
    let Some(first) = entries.first() else { return Vec::new() };
    let ids = short_ids(entries);
    let rows = ids.iter().zip(entries).map(|(id, entry)| {
        let columns: Vec<&str> =
            entry.collided.iter().filter_map(|at| Some(entry.columns.get(*at)?.as_str())).collect();
        let columns = if columns.is_empty() { "(the row)".to_owned() } else { columns.join(", ") };
        let won = entry.sides.iter().enumerate().filter(|(_, side)| side.won);
        let won: Vec<String> = won.map(|(at, side)| format!("{} {}", at + 1, writer(side))).collect();
        let state = match state(entry) {
            "open" => styled(LOOK, "open"),
            "superseded" => styled(FAINT, "superseded"),
            settled => settled.to_owned(),
        };
        let key = entry.key.to_string();
        let (kind, when) = (kind(entry.kind).to_owned(), time(entry.at_ms));
        vec![id.clone(), entry.table.clone(), key, kind, columns, entry.rule.clone(), won.join(", "), when, state]
    });
    let header = ["id", "table", "key", "kind", "columns", "rule", "shown", "when (UTC)", ""];
    let mut lines = vec![output::table(&header, rows.collect(), &[])];
    if listed.more {
        lines.push(styled(FAINT, "  … and more; see them with --limit"));
    }
    let (url, id) = (typed(database), entries.iter().position(|e| e.open).map_or(&ids[0], |at| &ids[at]));
    lines.push(format!("All sides of one: tidewater conflicts show {url} {id}"));
    if entries.iter().any(|entry| entry.open && entry.ended_ms.is_none()) {
        lines.push(format!("Settle an open one: tidewater conflicts resolve {url} {id} --take N"));
    } else if first.ended_ms.is_none() {
        lines.push(format!("Put back what lost: tidewater conflicts restore {url} {id}"));
    }
    lines
}

/// The beginnings of their IDs, as short as tells these apart.
pub(crate) fn short_ids(entries: &[Entry]) -> Vec<String> {
    let ids: Vec<String> = entries.iter().map(|entry| hexadecimal(entry.id)).collect();
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let common = |pair: &[&String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let digits = sorted.windows(2).map(common).max().map_or(0, |common| common + 1).max(DIGITS_MIN);
    ids.iter().map(|id| id[..digits.min(id.len())].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::conflicts::sample;

    #[test]
    fn ids_are_as_short_as_tells_them_apart() {
        let of = |ids: &[[u8; 16]]| short_ids(&ids.iter().map(|id| Entry { id: *id, ..sample() }).collect::<Vec<_>>());
        assert_eq!(of(&[[0xab; 16]]), ["abababab"]);
        let mut other = [0xab; 16];
        other[4] = 0xac;
        assert_eq!(of(&[[0xab; 16], other, [1; 16]]), ["ababababab", "ababababac", "0101010101"]);
    }

    #[test]
    fn a_list_is_aligned_and_names_the_next_command() {
        let listed = Listed { entries: vec![sample()], more: true };
        let wanted = "  id        table     key  kind    columns  rule   shown      when (UTC)           \n  \
             c0ffee00  products  7    update  price    merge  2 till.db  2026-10-02 10:20:30  settled\n  \
             … and more; see them with --limit\n\
             All sides of one: tidewater conflicts show sqlite:shop.db c0ffee00\n\
             Put back what lost: tidewater conflicts restore sqlite:shop.db c0ffee00";
        let said = anstream::adapter::strip_str(&lines(&Database::new("shop.db"), &listed).join("\n")).to_string();
        assert_eq!(said, wanted.replace("           \n  c0", "\n  c0"));
    }
}

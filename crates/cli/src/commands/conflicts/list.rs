//! `tidewater conflicts list`: what the journal holds, the latest first.

use super::{Journal, facts, hexadecimal, is_beginning, kind, state, time, writer};
use crate::args::ListArgs;
use crate::commands::DONE;
use crate::endpoint::{quoted, typed};
use crate::output::{self, FAINT, LOOK, count, number, styled};
use serde_json::{Map, Value, json};
use tidewater_core::link::ReplicaStatus;
use tidewater_core::replica::{Entry, Selection};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, Database};

/// Digits of an ID that are shown at least.
pub(super) const DIGITS_MIN: usize = 8;

/// What was asked for, and of how many that is a page.
pub(crate) struct Listed {
    pub(crate) entries: Vec<Entry>,
    selection: Selection,
    total: u64,
}

impl Listed {
    /// Reads the journal.
    pub(crate) async fn read(journal: &mut Journal, selection: Selection) -> Result<Self> {
        let entries = journal.conflicts(&selection).await?;
        let total = journal.count(&selection).await?;
        Ok(Self { entries, selection, total })
    }

    /// How many come before this page, and with it.
    fn through(&self) -> (u64, u64) {
        let before = self.selection.skip as u64;
        (before, before + self.entries.len() as u64)
    }

    /// Which part of all this is, and the command for the next one; nothing where it is all.
    fn foot(&self, database: &Database) -> Option<String> {
        let (before, through) = self.through();
        let total = number(self.total);
        if through - before == self.total {
            return None;
        }
        if self.entries.is_empty() {
            return Some(format!("There are {total} in all, on fewer pages."));
        }
        let part = format!("Showing {} to {} of {total}", number(before + 1), number(through));
        if through >= self.total {
            return Some(format!("{part}, the last page."));
        }
        Some(format!("{part}; the next page: {}", self.next(database)))
    }

    /// The command for the next page.
    fn next(&self, database: &Database) -> String {
        let Selection { table, id, run, open, skip, rows_max } = &self.selection;
        let mut command = format!("tidewater conflicts list {}", typed(database));
        for (flag, value) in [("table", table), ("id", id), ("run", run)] {
            command.extend(value.as_ref().map(|value| format!(" --{flag} {}", quoted(value))));
        }
        if *open {
            command.push_str(" --open");
        }
        if *rows_max != ListArgs::LIMIT {
            command.push_str(&format!(" --limit {rows_max}"));
        }
        command + &format!(" --page {}", skip / (*rows_max).max(1) + 2)
    }
}

/// Lists them.
pub(super) async fn list(args: ListArgs) -> Result<u8> {
    let ListArgs { journal, table, open, run, id, limit, page } = args;
    let (url, json) = (journal.url, journal.json);
    if let Some(id) = id.as_ref().filter(|id| !is_beginning(id)) {
        let what = format!("no ID of a conflict begins with {}", id.escape_debug());
        let remedy = "An ID is up to 32 digits of 0-9 and a-f; the beginning of one is enough.";
        return Err(Error::new(Kind::Invalid, code::USAGE, what).meaning("Nothing was read.").remedy(remedy));
    }
    let narrowed = table.is_some() || open || run.is_some() || id.is_some();
    let skip = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(limit);
    let mut journal = Journal::open(&url, Access::Read)?;
    let listed = Listed::read(&mut journal, Selection { table, id, run, open, skip, rows_max: limit }).await?;
    if json {
        output::line(&facts_of(&journal, &listed).to_string());
        return Ok(DONE);
    }
    if listed.total == 0 {
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
    kept(journal.status.replica.as_ref()).iter().for_each(|line| output::line(&styled(FAINT, line)));
    Ok(DONE)
}

fn facts_of(journal: &Journal, listed: &Listed) -> Value {
    let conflicts: Vec<Value> = listed.entries.iter().map(facts::entry).collect();
    let runs = journal.status.journal.iter().map(|(run, rows)| json!({ "run": run, "rows": rows }));
    let days = journal.status.replica.iter().flat_map(|replica| &replica.kept_days);
    json!({
        "database": journal.database.shown, "conflicts": conflicts, "total": listed.total,
        "more": listed.through().1 < listed.total, "runs": runs.collect::<Vec<_>>(),
        "journal_keep_days": days.map(|(table, days)| (table.clone(), json!(days))).collect::<Map<_, _>>(),
    })
}

/// For how long conflicts are kept, where that is not for ever.
fn kept(replica: Option<&ReplicaStatus>) -> Option<String> {
    let replica = replica?;
    let (_, first) = replica.kept_days.first()?;
    let days = |days: &u64| count(*days, "day", "days");
    let all = replica.kept_days.len() == replica.tables.len();
    if all && replica.kept_days.iter().all(|(_, other)| other == first) {
        return Some(format!("Conflicts are kept for {} once superseded; all others for ever.", days(first)));
    }
    let each: Vec<String> = replica.kept_days.iter().map(|(table, kept)| format!("{table} {}", days(kept))).collect();
    Some(format!("Superseded conflicts are kept: of {}; all others for ever.", each.join(", ")))
}

/// An aligned table, and how to go on.
pub(crate) fn lines(database: &Database, listed: &Listed) -> Vec<String> {
    let entries = &listed.entries;
    let foot = listed.foot(database).map(|foot| styled(FAINT, &format!("  {foot}")));
    let Some(first) = entries.first() else { return foot.into_iter().collect() };
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
    lines.extend(foot);
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
        let selection = Selection { table: Some("a b".into()), rows_max: 1, skip: 1, ..Selection::default() };
        let listed = Listed { entries: vec![sample()], selection, total: 1_234 };
        let wanted = "  id        table     key  kind    columns  rule   shown      when (UTC)           \n  \
             c0ffee00  products  7    update  price    merge  2 till.db  2026-10-02 10:20:30  settled\n  \
             Showing 2 to 2 of 1,234; the next page: tidewater conflicts list sqlite:shop.db --table 'a b' --limit 1 --page 3\n\
             All sides of one: tidewater conflicts show sqlite:shop.db c0ffee00\n\
             Put back what lost: tidewater conflicts restore sqlite:shop.db c0ffee00";
        let said = anstream::adapter::strip_str(&lines(&Database::new("shop.db"), &listed).join("\n")).to_string();
        assert_eq!(said, wanted.replace("           \n  c0", "\n  c0"));
    }

    #[test]
    fn a_page_says_where_it_is() {
        let page = |skip, rows_max, entries, total| {
            let selection = Selection { open: true, rows_max, skip, ..Selection::default() };
            Listed { entries: vec![sample(); entries], selection, total }.foot(&Database::new("shop.db"))
        };
        assert_eq!(page(0, 100, 3, 3), None);
        assert_eq!(page(0, 0, 300, 300), None);
        let next = "Showing 1 to 100 of 201; the next page: tidewater conflicts list sqlite:shop.db --open --page 2";
        assert_eq!(page(0, 100, 100, 201).as_deref(), Some(next));
        assert_eq!(page(200, 100, 1, 201).as_deref(), Some("Showing 201 to 201 of 201, the last page."));
        assert_eq!(page(300, 100, 0, 201).as_deref(), Some("There are 201 in all, on fewer pages."));
    }

    #[test]
    fn what_is_kept_for_ever_is_not_said() {
        let tables = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "merge".to_owned())).collect();
        let of = |days: &[(&str, u64)]| {
            let kept_days = days.iter().map(|(name, days)| ((*name).to_owned(), *days)).collect();
            kept(Some(&ReplicaStatus { tables: tables(&["t", "u"]), kept_days, ..ReplicaStatus::default() }))
        };
        assert_eq!(of(&[]), None);
        let all = "Conflicts are kept for 90 days once superseded; all others for ever.";
        assert_eq!(of(&[("t", 90), ("u", 90)]).as_deref(), Some(all));
        let each = "Superseded conflicts are kept: of t 90 days, u 1 day; all others for ever.";
        assert_eq!(of(&[("t", 90), ("u", 1)]).as_deref(), Some(each));
        let one = "Superseded conflicts are kept: of t 90 days; all others for ever.";
        assert_eq!(of(&[("t", 90)]).as_deref(), Some(one));
    }
}

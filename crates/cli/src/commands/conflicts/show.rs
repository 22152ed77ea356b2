//! `tidewater conflicts show`: all sides of one conflict, a column for each, a line for each column of the table.

use super::list::DIGITS_MIN;
use super::{Journal, facts, hexadecimal, kind, state, time, writer};
use crate::args::JournalArgs;
use crate::commands::DONE;
use crate::endpoint::typed;
use crate::output::{self, FAINT, GOOD, LOOK, STRONG, styled};
use tidewater_core::Result;
use tidewater_core::change::{Row, Value};
use tidewater_core::merge::{Kind, Stamp};
use tidewater_core::replica::{Entry, Side};
use tidewater_sqlite::{Access, Database};

/// Shows it.
pub(super) async fn show(args: &JournalArgs, id: &str) -> Result<u8> {
    let mut journal = Journal::open(&args.url, Access::Read)?;
    let entry = journal.one(id).await?;
    if args.json {
        output::line(&facts::entry(&entry).to_string());
    } else {
        lines(&journal.database, &entry, id.len()).iter().for_each(|line| output::line(line));
    }
    Ok(DONE)
}

/// `digits` of its ID were enough.
fn lines(database: &Database, entry: &Entry, digits: usize) -> Vec<String> {
    let id = hexadecimal(entry.id);
    let state = match entry.ended_ms {
        Some(at) => format!("{} by a later write, {}", state(entry), time(at)),
        None => state(entry).to_owned(),
    };
    let title = styled(STRONG, &format!("{} key {}", entry.table, entry.key));
    let kind = kind(entry.kind);
    let mut lines = vec![
        format!("{title}  {kind}, rule {}, {state}", entry.rule),
        styled(FAINT, &format!("{id}, seen {} UTC in run {}", time(entry.at_ms), entry.run)),
    ];
    let names = entry.sides.iter().enumerate().map(|(at, side)| format!("{} {}", at + 1, writer(side)));
    let header: Vec<String> = std::iter::once(String::new()).chain(names).chain(["shown".to_owned()]).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    lines.push(output::table(&header, rows(entry), &[]));
    let url = typed(database);
    let short = &id[..digits.clamp(DIGITS_MIN, id.len())];
    if entry.open && entry.ended_ms.is_none() {
        lines.push(format!("Take a side whole: tidewater conflicts resolve {url} {short} --take N"));
        lines.push(format!("Or set values: tidewater conflicts resolve {url} {short} --set \"COLUMN='text'\""));
    } else if entry.stands_aside() && entry.ended_ms.is_none() {
        lines.push(format!(
            "Set what keeps it from being shown: tidewater conflicts resolve {url} {short} --set \"COLUMN='text'\""
        ));
        if entry.kind == Kind::ForeignKey {
            lines.push("Or insert the row that it refers to: it comes back by itself".to_owned());
        }
    } else {
        lines.push(format!("Put back what lost: tidewater conflicts restore {url} {short}"));
    }
    lines
}

/// When each side was written, and its values; in lines that collided, marked by `*`, what is shown and what is not.
fn rows(entry: &Entry) -> Vec<Vec<String>> {
    let mut rows = vec![
        line("  written", entry.sides.iter().map(written), "at that time".to_owned()),
        line("  row", entry.sides.iter().map(existence), existed(entry.shown.as_ref()).to_owned()),
    ];
    let shown = values(entry.shown.as_ref(), entry.columns.len());
    let sides: Vec<Vec<Option<String>>> =
        entry.sides.iter().map(|side| values(side.content.as_ref(), entry.columns.len())).collect();
    for (at, column) in entry.columns.iter().enumerate() {
        let collided = entry.collided.contains(&at);
        let cell = |value: &Option<String>| match value {
            None => styled(FAINT, "-"),
            Some(text) if collided && *value == shown[at] => styled(GOOD, text),
            Some(text) if collided => styled(LOOK, text),
            Some(text) => text.clone(),
        };
        let name = if collided { styled(STRONG, &format!("* {column}")) } else { format!("  {column}") };
        rows.push(line(&name, sides.iter().map(|side| cell(&side[at])), cell(&shown[at])));
    }
    rows
}

fn line(name: &str, sides: impl Iterator<Item = String>, shown: String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(sides).chain([shown]).collect()
}

fn written(side: &Side) -> String {
    match side.stamp {
        Stamp::GENESIS => "not known".to_owned(),
        stamp => i64::try_from(stamp.ms()).map_or_else(|_| String::new(), time),
    }
}

fn existence(side: &Side) -> String {
    let text = existed(side.content.as_ref());
    if side.won { styled(GOOD, text) } else { styled(LOOK, text) }
}

fn existed(row: Option<&Row>) -> &'static str {
    if row.is_some() { "kept" } else { "deleted" }
}

/// Its values as people read them; none where it was deleted, or where this database does not hold the column.
fn values(row: Option<&Row>, columns: usize) -> Vec<Option<String>> {
    let held = |value: Value<'_>| (value != Value::Unchanged).then(|| value.to_string());
    let mut values: Vec<Option<String>> = row.map(|row| row.values().map(held).collect()).unwrap_or_default();
    values.resize(columns, None);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::conflicts::sample;

    #[test]
    fn sides_stand_beside_each_other_and_what_collided_is_marked() {
        let said = lines(&Database::new("shop.db"), &sample(), 3).join("\n");
        let wanted = "\
products key 7  update, rule merge, settled
c0ffee00000000000000000000000000, seen 2026-10-02 10:20:30 UTC in run run1
             1 shop.db            2 till.db            shown
    written  1970-01-01 00:00:01  1970-01-01 00:00:02  at that time
    row      kept                 kept                 kept
    id       7                    7                    7
  * price    10                   12                   12
    name     'a'                  'a'                  'a'
Put back what lost: tidewater conflicts restore sqlite:shop.db c0ffee00";
        assert_eq!(anstream::adapter::strip_str(&said).to_string(), wanted);
    }

    #[test]
    fn a_side_that_deleted_has_no_values() {
        let mut entry = sample();
        entry.sides[0].content = None;
        (entry.open, entry.collided) = (true, vec![]);
        let said = anstream::adapter::strip_str(&lines(&Database::new("shop.db"), &entry, 8).join("\n")).to_string();
        assert!(said.contains("deleted") && said.contains("    price    -  "), "{said}");
        assert!(said.contains("tidewater conflicts resolve sqlite:shop.db c0ffee00 --take N"), "{said}");
    }
}

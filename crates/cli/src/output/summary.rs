//! The summary of a run, for people.

use super::{FAINT, GOOD, LOOK, STRONG, count, number, styled};
use crate::endpoint::Endpoint;
use tidewater_core::link::Report;

/// Rows and tables named one by one; more are counted.
const NAMED: usize = 10;

/// What a run did, line by line.
pub(crate) fn summary(source: &Endpoint, target: &Endpoint, report: &Report) -> Vec<String> {
    let (source_url, target_url) = (source.typed(), target.typed());
    let (is_stdout, remembers) = (target.is_stdout(), target.remembers());
    let (source, target) = (source.shown(), target.shown());
    let state = match (report.needs_attention(), report.in_step) {
        (true, _) => styled(LOOK, "needs attention"),
        (false, true) => styled(GOOD, "in step"),
        (false, false) if remembers => styled(LOOK, "stopped on the way; the next run goes on from here"),
        (false, false) => styled(LOOK, "stopped"),
    };
    let mut lines = vec![format!("{}  {state}", styled(STRONG, &format!("{source} → {target}")))];
    let mut facts = vec![count(report.tables.len() as u64, "table", "tables")];
    if !report.created.is_empty() {
        facts[0].push_str(&format!(" ({} created)", report.created.len()));
    }
    let (copied, applied) = if is_stdout { ("printed", "printed") } else { ("copied", "applied") };
    facts.push(format!("{} {copied}", count(report.copied, "row", "rows")));
    for (rows, what) in [
        (report.compared, "compared"),
        (report.mended, "mended"),
        (report.removed, "only in target removed"),
        (report.kept, "kept as they were"),
        (report.left, "only in target left"),
    ] {
        if rows > 0 {
            facts.push(format!("{} {what}", count(rows, "row", "rows")));
        }
    }
    facts.push(format!("{} {applied}", count(report.changes(), "change", "changes")));
    facts.push(format!("{:.2} s", report.seconds));
    lines.push(format!("  {}", facts.join(" · ")));
    for (table, column) in &report.added {
        lines.push(format!("  {table}: column {column} added, as at the source"));
    }
    for notice in &report.notices {
        lines.push(format!("  {notice}"));
    }
    for (table, why) in &report.skipped {
        lines.push(styled(FAINT, &format!("  skipped {table}: {why}")));
    }
    if report.left_out > 0 {
        let values = count(report.left_out, "value", "values");
        lines.push(format!("  {values} over the size limit left out (NULL at the target); see value_bytes_max"));
    }
    if report.dangling > 0 {
        let rows = count(report.dangling, "row refers", "rows refer");
        lines.push(styled(LOOK, &format!("  {rows} to a parent row that is not there; see `tidewater verify`")));
    }
    if report.journaled > 0 {
        let rows = count(report.journaled, "row", "rows");
        lines.push(format!(
            "  {rows} replaced or deleted, kept in the journal; undo with: \
             tidewater conflicts restore {target_url} --run {}",
            report.run
        ));
    }
    if !report.installed.is_empty() {
        lines.push(format!("Installed in {source}: {}", report.installed.join(", ")));
        lines.push(format!("  take it out with: tidewater teardown {source_url} {target_url}"));
    }
    lines.extend(attention(report, &target_url));
    lines
}

/// What a person should look at.
fn attention(report: &Report, target: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (table, why) in &report.halted {
        lines.push(styled(LOOK, &format!("E0040 {table} is halted, everything else goes on: {why}")));
    }
    for held in report.held.iter().take(NAMED) {
        let what =
            format!("E0050 {} key {} could not be written and is in quarantine: {}", held.table, held.key, held.reason);
        lines.push(styled(LOOK, &what));
    }
    if report.held_rows > 0 {
        let more = report.held_rows.saturating_sub(NAMED as u64);
        let more = if more > 0 {
            format!("and {} more", number(more))
        } else {
            "they are tried again by later runs".to_owned()
        };
        lines.push(format!("  {more}; see: tidewater quarantine list {target}"));
    }
    lines
}

//! Facts for programs.

use serde_json::{Value, json};
use tidewater_core::Error;
use tidewater_core::link::Report;

/// A failure.
pub(crate) fn error(error: &Error) -> Value {
    json!({
        "error": error.code.to_string(),
        "what": error.what,
        "meaning": error.meaning,
        "remedy": error.remedy,
    })
}

/// What a link did.
pub(crate) fn report(source: &str, target: &str, report: &Report) -> Value {
    let held: Vec<Value> =
        report.held.iter().map(|h| json!({ "table": h.table, "key": h.key.to_string(), "reason": h.reason })).collect();
    let skipped: Vec<Value> = report.skipped.iter().map(|(t, why)| json!({ "table": t, "reason": why })).collect();
    let added: Vec<Value> = report.added.iter().map(|(t, c)| json!({ "table": t, "column": c })).collect();
    json!({
        "source": source,
        "target": target,
        "link": report.link,
        "run": report.run,
        "tables": report.tables,
        "skipped": skipped,
        "created": report.created,
        "added": added,
        "installed": report.installed,
        "rows_copied": report.copied,
        "rows_compared": report.compared,
        "rows_mended": report.mended,
        "rows_removed": report.removed,
        "rows_left": report.left,
        "rows_kept": report.kept,
        "rows_journaled": report.journaled,
        "changes_applied": report.changes(),
        "upserts": report.upserts,
        "deletes": report.deletes,
        "quarantine": held,
        "quarantined": report.held_rows,
        "halted": report.halted,
        "dangling": report.dangling,
        "left_out": report.left_out,
        "notices": report.notices,
        "in_step": report.in_step,
        "seconds": report.seconds,
        "needs_attention": report.needs_attention(),
    })
}

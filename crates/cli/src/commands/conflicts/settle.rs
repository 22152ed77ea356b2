//! `tidewater conflicts resolve` and `restore`: a person's choice, which travels like any write.

use super::{Journal, hexadecimal, literal};
use crate::args::{ResolveArgs, RestoreArgs};
use crate::commands::DONE;
use crate::endpoint::{Endpoint, typed};
use crate::output::{self, count};
use serde_json::json;
use tidewater_core::change::Value;
use tidewater_core::env::Env;
use tidewater_core::replica::{Choice, Entry, Selection};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::Access;

/// Settles one as a person chose.
pub(super) async fn resolve(args: ResolveArgs) -> Result<u8> {
    let wrong = |what: String, remedy: String| {
        Error::new(Kind::Invalid, code::USAGE, what).meaning("Nothing was changed.").remedy(remedy)
    };
    // What was typed is read before anything is opened.
    let mut values: Vec<(String, Value<'static>)> = Vec::new();
    for text in &args.set {
        let (column, value) = literal::assignment(text)
            .map_err(|what| wrong(what, "See `tidewater conflicts resolve --help`.".to_owned()))?;
        if values.iter().any(|(known, _)| known.eq_ignore_ascii_case(column)) {
            return Err(wrong(format!("--set names {column} twice"), "Say once what it becomes.".to_owned()));
        }
        values.push((column.to_owned(), value));
    }
    let mut journal = Journal::open(&args.journal.url, Access::Write)?;
    let entry = journal.one(&args.id).await?;
    let choice = match args.take {
        Some(side) if (1..=entry.sides.len()).contains(&side) => Choice::Take(side),
        Some(side) => {
            let show = format!("tidewater conflicts show {} {}", typed(&journal.database), args.id);
            let what = format!("this conflict has no side {side}: it has {}", entry.sides.len());
            return Err(wrong(what, format!("See them with: {show}")));
        }
        None => {
            for (column, _) in &mut values {
                match entry.columns.iter().find(|known| known.eq_ignore_ascii_case(column)) {
                    Some(known) => column.clone_from(known),
                    None => {
                        let what = format!("no column of {} is called {column}", entry.table);
                        return Err(wrong(what, format!("It has: {}", entry.columns.join(", "))));
                    }
                }
            }
            Choice::Set(values)
        }
    };
    let changed = journal.replica()?.settle(entry.id, choice).await?;
    tell(&journal, &entry, "settled", changed, args.journal.json);
    Ok(DONE)
}

/// Puts back what lost one conflict, or what a run replaced, deleted or settled.
pub(super) async fn restore(args: RestoreArgs) -> Result<u8> {
    let endpoint = Endpoint::parse(&args.journal.url)?;
    if let (Endpoint::Postgres(_), Some(run)) = (&endpoint, &args.run) {
        let put_back = PutBack { rows: endpoint.restore(run, &Env::real()).await?, ..PutBack::default() };
        put_back.tell(&endpoint, run, args.journal.json);
        return Ok(DONE);
    }
    let mut journal = Journal::open(&args.journal.url, Access::Write)?;
    if let Some(run) = &args.run {
        return restore_run(journal, run, args.journal.json).await;
    }
    let entry = journal.one(args.id.as_deref().unwrap_or_default()).await?;
    let changed = journal.replica()?.settle(entry.id, Choice::Restore).await?;
    tell(&journal, &entry, "put back what lost", changed, args.journal.json);
    Ok(DONE)
}

fn tell(journal: &Journal, entry: &Entry, done: &str, changed: bool, json: bool) {
    let shown = &journal.database.shown;
    if json {
        let id = hexadecimal(entry.id);
        let facts = json!({ "database": shown, "id": id, "table": entry.table, "row_changed": changed });
        output::line(&facts.to_string());
        return;
    }
    let what = if changed { "the next sync carries it to the others" } else { "the row was so already" };
    output::line(&format!("{shown}: {} key {}: {done}; {what}", entry.table, entry.key));
}

async fn restore_run(mut journal: Journal, run: &str, json: bool) -> Result<u8> {
    let selection = Selection { run: Some(run.to_owned()), ..Selection::default() };
    let entries = journal.conflicts(&selection).await?;
    // What was written since is newer than what the run settled.
    let (since, settled): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.ended_ms.is_some());
    let mut put_back = PutBack { since: since.len() as u64, ..PutBack::default() };
    // A row that stands aside comes back by itself, if what is put back makes room for it, or is its parent.
    for entry in settled.iter().filter(|entry| !entry.stands_aside()) {
        put_back.conflicts += u64::from(journal.replica()?.settle(entry.id, Choice::Restore).await?);
    }
    let Journal { database, status, replica } = journal;
    drop(replica);
    let endpoint = Endpoint::from(database);
    if entries.is_empty() || status.journal.iter().any(|(known, _)| known == run) {
        put_back.rows = endpoint.restore(run, &Env::real()).await?;
    }
    put_back.tell(&endpoint, run, json);
    Ok(DONE)
}

/// What of a run was put back.
#[derive(Default)]
struct PutBack {
    /// Rows that it replaced or deleted one way.
    rows: u64,
    /// Conflicts that it settled.
    conflicts: u64,
    /// Conflicts whose rows were written since, which stay as they are.
    since: u64,
}

impl PutBack {
    fn tell(&self, endpoint: &Endpoint, run: &str, json: bool) {
        let Self { rows, conflicts, since } = *self;
        let shown = endpoint.shown();
        if json {
            let facts = json!({
                "database": shown, "run": run, "rows_restored": rows, "conflicts_restored": conflicts,
                "written_since": since,
            });
            output::line(&facts.to_string());
            return;
        }
        let back = count(rows + conflicts, "row", "rows");
        output::line(&format!("{shown}: {back} put back as before the run {run}"));
        if since > 0 {
            let left = count(since, "row was written since and stays", "rows were written since and stay");
            output::line(&format!("  {left}; one by one: tidewater conflicts restore {} ID", endpoint.typed()));
        }
    }
}

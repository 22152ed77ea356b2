//! `tidewater conflicts forget`: makes room in a journal. What has not ended stays, however old it is.

use super::Journal;
use crate::args::JournalArgs;
use crate::commands::DONE;
use crate::endpoint::{Endpoint, typed};
use crate::output::{self, count};
use serde_json::json;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::replica::Selection;
use tidewater_sqlite::Access;

/// Forgets what is over for more than so many days.
pub(super) async fn forget(args: &JournalArgs, days: u64) -> Result<u8> {
    let endpoint = Endpoint::parse(&args.url)?;
    if let Endpoint::Postgres(_) = endpoint {
        return forget_runs(&endpoint, days, args.json).await;
    }
    let mut journal = Journal::open(&args.url, Access::Write)?;
    let conflicts = match &mut journal.replica {
        Some(replica) => replica.forget_older(days).await?,
        None => 0,
    };
    let stay = journal.count(&Selection::default()).await?;
    let Journal { database, status, replica } = journal;
    drop(replica);
    let rows = match status.journal.is_empty() {
        true => 0,
        false => endpoint.forget(days, &Env::real()).await?,
    };
    if args.json {
        let facts = json!({
            "database": database.shown, "conflicts_forgotten": conflicts, "conflicts_kept": stay, "rows_forgotten": rows,
        });
        output::line(&facts.to_string());
        return Ok(DONE);
    }
    let (conflicts, days) = (count(conflicts, "conflict", "conflicts"), count(days, "day", "days"));
    output::line(&format!("{}: forgot {conflicts} superseded more than {days} ago", database.shown));
    if rows > 0 {
        output::line(&format!("  and {} that runs one way replaced or deleted", count(rows, "row", "rows")));
    }
    if stay > 0 {
        let stay = count(stay, "conflict stays", "conflicts stay");
        output::line(&format!("  {stay}; see: tidewater conflicts list {}", typed(&database)));
    }
    Ok(DONE)
}

/// The same where the journal holds only what runs one way replaced or deleted.
async fn forget_runs(endpoint: &Endpoint, days: u64, json: bool) -> Result<u8> {
    let (shown, rows) = (endpoint.shown(), endpoint.forget(days, &Env::real()).await?);
    if json {
        let facts = json!({
            "database": shown, "conflicts_forgotten": 0, "conflicts_kept": 0, "rows_forgotten": rows,
        });
        output::line(&facts.to_string());
        return Ok(DONE);
    }
    let (rows, days) = (count(rows, "row", "rows"), count(days, "day", "days"));
    output::line(&format!("{shown}: forgot {rows} that runs replaced or deleted more than {days} ago"));
    Ok(DONE)
}

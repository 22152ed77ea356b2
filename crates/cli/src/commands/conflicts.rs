//! `tidewater conflicts`: undoing what a first contact or a repair replaced or deleted.

use super::DONE;
use crate::args::{ConflictsArgs, ConflictsCommand};
use crate::endpoint::database;
use crate::output::{self, count};
use serde_json::json;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_sqlite::{Access, SqliteTarget, Status};

/// Carries it out.
pub(crate) async fn conflicts(args: ConflictsArgs) -> Result<u8> {
    let ConflictsCommand::Restore { url, run, json } = args.command;
    let (database, env) = (database(&url)?, Env::real());
    // Says so when the file is missing.
    Status::of(&database, &env)?;
    let restored = SqliteTarget::open(&database, Access::Write, &env)?.restore(&run).await?;
    if json {
        output::line(&json!({ "database": database.shown, "run": run, "rows_restored": restored }).to_string());
    } else {
        output::line(&format!(
            "{}: {} put back as before the run {run}",
            database.shown,
            count(restored, "row", "rows")
        ));
    }
    Ok(DONE)
}

//! `tidewater quarantine discard`: rows are given up. They stay on record until they change at the source.

use super::{DONE, Found, each};
use crate::args::DiscardArgs;
use crate::output::{self, count};
use serde_json::json;
use tidewater_core::apply::Which;
use tidewater_core::change::Key;
use tidewater_core::env::Env;
use tidewater_core::{Error, Kind, Result, code};

/// So many entries are looked through at a time.
const PAGE: u64 = 1_000;

/// Discards them, of each target.
pub(super) async fn discard(args: DiscardArgs) -> Result<u8> {
    each(&args.whose, "nothing discarded", async |found, env| one(found, &args, env).await).await
}

async fn one(found: &Found, args: &DiscardArgs, env: &Env) -> Result<u8> {
    let which = found.which(args.whose.table.as_ref());
    let rows = match (found.links.is_empty(), &args.key[..]) {
        (true, []) => 0,
        (true, _) => return Err(no_such_row(found, args, &args.key.join(" or "))),
        (false, []) => found.target.discard(&which, &[], env).await?,
        (false, _) => {
            let keys = keys(found, &which, args, env).await?;
            found.target.discard(&which, &keys, env).await?
        }
    };
    let (shown, url) = (found.target.shown(), found.target.typed());
    if args.whose.json {
        output::line(&json!({ "database": shown, "discarded": rows }).to_string());
        return Ok(DONE);
    }
    output::line(&format!("{shown}: discarded {} out of the quarantine", count(rows, "row", "rows")));
    if rows > 0 {
        output::line(
            "  The target keeps what it has of each until the source changes that row again. They stay on record:",
        );
        output::line(&format!("  tidewater quarantine list {url} --discarded"));
    }
    Ok(DONE)
}

/// The keys that were typed, as they are stored: each is to be the key of one row.
async fn keys(found: &Found, which: &Which, args: &DiscardArgs, env: &Env) -> Result<Vec<Key>> {
    let mut called: Vec<Vec<Key>> = vec![vec![]; args.key.len()];
    let mut skip = 0;
    loop {
        let page = found.target.quarantine(&Which { skip, rows_max: PAGE, ..which.clone() }, env).await?;
        for entry in &page {
            for (typed, keys) in args.key.iter().zip(&mut called) {
                if entry.held.is_called(typed) && !keys.contains(&entry.held.key) && keys.len() < 2 {
                    keys.push(entry.held.key.clone());
                }
            }
        }
        skip += page.len() as u64;
        if (page.len() as u64) < PAGE {
            break;
        }
    }
    let mut all = Vec::new();
    for (typed, mut keys) in args.key.iter().zip(called) {
        match (keys.pop(), keys.is_empty()) {
            (None, _) => return Err(no_such_row(found, args, typed)),
            (Some(key), true) => all.push(key),
            (Some(_), false) => return Err(several_rows(args, typed)),
        }
    }
    Ok(all)
}

fn no_such_row(found: &Found, args: &DiscardArgs, key: &str) -> Error {
    let table = args.whose.table.as_deref().unwrap_or_default();
    let what = format!("{} has no row of {table} in quarantine with the key {key}", found.target.shown());
    Error::new(Kind::Invalid, code::USAGE, what)
        .meaning("Nothing was changed.")
        .remedy(format!("List them with: tidewater quarantine list {}", found.typed))
}

fn several_rows(args: &DiscardArgs, key: &str) -> Error {
    let table = args.whose.table.as_deref().unwrap_or_default();
    Error::new(
        Kind::Invalid,
        code::USAGE,
        format!("several rows of {table} in quarantine have a key that is shown as {key}"),
    )
    .meaning("Long keys are cut where they are shown. Nothing was changed.")
    .remedy("Discard all of the table with --all, or delete or change the others at the source.")
}

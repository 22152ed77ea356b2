//! `tidewater conflicts`: the journal. `list.rs` and `show.rs` say what is in it, `settle.rs` carries out what a
//! person chooses, `forget.rs` makes room, `literal.rs` reads values that were typed, `facts.rs` prints entries for programs.
//!
//! Rows may be printed here, and only here: that is what these commands are for.

mod facts;
mod forget;
mod list;
mod literal;
mod settle;
mod show;

pub(super) use list::{Listed, lines as list_lines, short_ids};

use super::DONE;
use crate::args::{ConflictsArgs, ConflictsCommand};
use crate::endpoint::{Endpoint, typed};
use crate::output;
use tidewater_core::env::Env;
use tidewater_core::link::Status;
use tidewater_core::merge;
use tidewater_core::replica::{Entry, Selection, Side};
use tidewater_core::{Error, Kind, Result, code};
use tidewater_sqlite::{Access, Database, SqliteReplica, status};

/// As many candidates are listed where an ID is not clear.
const CANDIDATES: usize = 10;

/// Carries it out.
pub(crate) async fn conflicts(args: ConflictsArgs) -> Result<u8> {
    match args.command {
        ConflictsCommand::List(args) => list::list(args).await,
        ConflictsCommand::Show { journal, id } => show::show(&journal, &id).await,
        ConflictsCommand::Resolve(args) => settle::resolve(args).await,
        ConflictsCommand::Restore(args) => settle::restore(args).await,
        ConflictsCommand::Export { journal } => export(&journal.url).await,
        ConflictsCommand::Forget { journal, older_than_days } => forget::forget(&journal, older_than_days).await,
    }
}

/// One object a line, the latest first.
async fn export(url: &str) -> Result<u8> {
    for entry in Journal::open(url, Access::Read)?.conflicts(&Selection::default()).await? {
        output::line(&facts::entry(&entry).to_string());
    }
    Ok(DONE)
}

/// A database's journal.
pub(super) struct Journal {
    pub(super) database: Database,
    pub(super) status: Status,
    /// Where it takes part in a sync both ways: only there are conflicts.
    replica: Option<SqliteReplica>,
}

impl Journal {
    /// Opens it. Says so when the file is missing.
    pub(super) fn open(url: &str, access: Access) -> Result<Self> {
        let (database, env) = (Endpoint::parse(url)?.with_conflicts()?, Env::real());
        let status = status(&database, &env)?;
        let replica = match &status.replica {
            Some(_) => Some(SqliteReplica::open(&database, access, &env)?),
            None => None,
        };
        Ok(Self { database, status, replica })
    }

    /// Its conflicts, the latest first.
    pub(super) async fn conflicts(&mut self, selection: &Selection) -> Result<Vec<Entry>> {
        match &mut self.replica {
            Some(replica) => replica.conflicts(selection).await,
            None => Ok(Vec::new()),
        }
    }

    /// How many conflicts a selection has, whatever its page.
    pub(super) async fn count(&mut self, selection: &Selection) -> Result<u64> {
        match &mut self.replica {
            Some(replica) => replica.count_conflicts(selection).await,
            None => Ok(0),
        }
    }

    /// The replica, to settle something.
    fn replica(&mut self) -> Result<&mut SqliteReplica> {
        let shown = &self.database.shown;
        let alone = || {
            Error::new(Kind::Invalid, code::USAGE, format!("{shown} takes part in no sync both ways"))
                .meaning("Only where several sides accept writes are there conflicts. Nothing was changed.")
                .remedy("What a sync one way replaced is put back with: tidewater conflicts restore URL --run RUN")
        };
        self.replica.as_mut().ok_or_else(alone)
    }

    /// The one conflict whose ID begins so.
    async fn one(&mut self, id: &str) -> Result<Entry> {
        self.replica()?;
        if !is_beginning(id) {
            return Err(self.no_such(id, "an ID is up to 32 digits of 0-9 and a-f").await);
        }
        let selection = Selection { id: Some(id.to_owned()), rows_max: CANDIDATES + 1, ..Selection::default() };
        let mut found = self.conflicts(&selection).await?;
        match found.len() {
            0 => Err(self.no_such(id, "no conflict there has an ID that begins so").await),
            1 => Ok(found.remove(0)),
            _ => {
                let what = format!("several conflicts in {} have an ID that begins with {id}", self.database.shown);
                Err(Error::new(Kind::Invalid, code::USAGE, what)
                    .meaning(candidates(&found))
                    .remedy("Type more of the ID. Nothing was changed."))
            }
        }
    }

    async fn no_such(&mut self, id: &str, why: &str) -> Error {
        let selection = Selection { rows_max: CANDIDATES + 1, ..Selection::default() };
        let known = self.conflicts(&selection).await.unwrap_or_default();
        let meaning = if known.is_empty() { "Its journal holds none.".to_owned() } else { candidates(&known) };
        let what = format!("{} has no conflict {}: {why}", self.database.shown, id.escape_debug());
        Error::new(Kind::Invalid, code::USAGE, what)
            .meaning(meaning)
            .remedy(format!("List them with: tidewater conflicts list {}", typed(&self.database)))
    }
}

/// Whether this may be the beginning of an ID.
fn is_beginning(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.chars().all(|c| c.is_ascii_hexdigit())
}

fn candidates(entries: &[Entry]) -> String {
    let ids = short_ids(entries);
    let line = |(id, entry): (&String, &Entry)| format!("  {id}  {} key {}", entry.table, entry.key);
    let mut lines: Vec<String> = ids.iter().zip(entries).take(CANDIDATES).map(line).collect();
    if entries.len() > CANDIDATES {
        lines.push("  …".to_owned());
    }
    lines.join("\n")
}

/// An ID in full.
fn hexadecimal(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What collided, in the words of the documentation.
fn kind(kind: merge::Kind) -> &'static str {
    match kind {
        merge::Kind::Update => "update",
        merge::Kind::DeleteUpdate => "delete-update",
        merge::Kind::Insert => "insert",
        merge::Kind::FirstContact => "first-contact",
        merge::Kind::Unique => "unique",
        merge::Kind::ForeignKey => "foreign-key",
    }
}

/// Whether it waits, is settled, or is history.
fn state(entry: &Entry) -> &'static str {
    match (entry.ended_ms, entry.open) {
        (Some(_), _) => "superseded",
        (None, true) => "open",
        (None, false) => "settled",
    }
}

/// Who wrote a side.
fn writer(side: &Side) -> &str {
    side.endpoint.as_deref().unwrap_or("before the first sync")
}

/// A time as people read it, UTC.
fn time(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// A conflict about the price of product 7, for the tests of its forms.
#[cfg(test)]
fn sample() -> Entry {
    use tidewater_core::change::{Key, Row, Value};
    use tidewater_core::merge::{Dot, Node, Stamp};
    let row = |price: i64| Row::new([Value::I64(7), Value::I64(price), Value::Text("a".into())]);
    let side = |endpoint: &str, second: u64, price: i64, won: bool| Side {
        dot: Dot::Write { node: Node([1; 16]), counter: second },
        endpoint: Some(endpoint.to_owned()),
        stamp: Stamp::next(second * 1_000, None),
        content: Some(row(price)),
        won,
    };
    let mut id = [0; 16];
    id[..3].copy_from_slice(&[0xc0, 0xff, 0xee]);
    Entry {
        id,
        table: "products".into(),
        columns: ["id", "price", "name"].map(str::to_owned).into(),
        key: Key::new([Value::I64(7)]),
        kind: merge::Kind::Update,
        rule: "merge".into(),
        collided: vec![1],
        sides: vec![side("shop.db", 1, 10, false), side("till.db", 2, 12, true)],
        shown: Some(row(12)),
        open: false,
        at_ms: 1_790_936_430_000,
        ended_ms: None,
        run: "run1".into(),
    }
}

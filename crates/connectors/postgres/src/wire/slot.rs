//! Commands of a replication connection that answer at once: who the server is, slots made and dropped.

use super::connection::{Connection, Rows};
use super::error::WireError;
use crate::lsn::Lsn;

/// Who a server is, and how far its log has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Made when the cluster was, and kept by its copies.
    pub system: String,
    /// Counts up whenever a copy takes over.
    pub timeline: u32,
    /// What is safely on disk.
    pub flushed: Lsn,
}

/// What a new slot's first snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// Other connections may read by it, until this one does anything else.
    Export,
    /// Not made at all.
    Nothing,
}

/// A slot to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSlot<'a> {
    /// Lower-case letters, digits and underscores.
    pub name: &'a str,
    /// Gone with this connection.
    pub temporary: bool,
    /// Its first snapshot.
    pub snapshot: Snapshot,
    /// Kept in step on standbys. From PostgreSQL 17 on.
    pub failover: bool,
}

/// A slot that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Transactions that commit after this place will be streamed; those before it are in the snapshot.
    pub consistent_point: Lsn,
    /// The name of the snapshot, where it was exported.
    pub snapshot: Option<String>,
}

impl Connection {
    /// Who the server is.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, WireError> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        Ok(SystemIdentity {
            system: cell(&rows, "systemid")?.to_owned(),
            timeline: cell(&rows, "timeline")?.parse().map_err(|_| odd("timeline"))?,
            flushed: cell(&rows, "xlogpos")?.parse().map_err(|_| odd("xlogpos"))?,
        })
    }

    /// Makes a slot for `pgoutput`. Waits until the transactions that are running have ended.
    pub async fn create_slot(&mut self, slot: &NewSlot<'_>) -> Result<Slot, WireError> {
        let rows = self.query(&create(slot, self.major_version())).await?;
        Ok(Slot {
            name: cell(&rows, "slot_name")?.to_owned(),
            consistent_point: cell(&rows, "consistent_point")?.parse().map_err(|_| odd("consistent_point"))?,
            snapshot: rows.first("snapshot_name").map(str::to_owned),
        })
    }

    /// Drops a slot; with `wait`, once nobody uses it any more.
    pub async fn drop_slot(&mut self, name: &str, wait: bool) -> Result<(), WireError> {
        let wait = if wait { " WAIT" } else { "" };
        self.query(&format!("DROP_REPLICATION_SLOT {}{wait}", quoted_name(name))).await.map(|_| ())
    }

    /// A setting of the server.
    pub async fn show(&mut self, setting: &str) -> Result<String, WireError> {
        let rows = self.query(&format!("SHOW {}", quoted_name(setting))).await?;
        let value = rows.rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        value.ok_or_else(|| odd(setting))
    }
}

fn create(slot: &NewSlot<'_>, major_version: u32) -> String {
    let name = quoted_name(slot.name);
    let temporary = if slot.temporary { " TEMPORARY" } else { "" };
    let begin = format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL pgoutput");
    match (slot.snapshot, slot.failover) {
        // Words that every release knows; the newer form is needed for what is newer only.
        (Snapshot::Export, false) => format!("{begin} EXPORT_SNAPSHOT"),
        (Snapshot::Nothing, false) if major_version < 15 => format!("{begin} NOEXPORT_SNAPSHOT"),
        (Snapshot::Nothing, false) => format!("{begin} (SNAPSHOT 'nothing')"),
        (Snapshot::Export, true) => format!("{begin} (SNAPSHOT 'export', FAILOVER)"),
        (Snapshot::Nothing, true) => format!("{begin} (SNAPSHOT 'nothing', FAILOVER)"),
    }
}

fn cell<'r>(rows: &'r Rows, column: &str) -> Result<&'r str, WireError> {
    rows.first(column).ok_or_else(|| odd(column))
}

fn odd(what: &str) -> WireError {
    WireError::protocol(format!("no usable answer for {what}"))
}

/// A name as SQL takes it, whatever it holds.
pub(crate) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes it. Without backslashes, which some settings give a meaning.
pub(crate) fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_made_with_words_that_the_server_knows() {
        let mut slot = NewSlot { name: "a\"b", temporary: true, snapshot: Snapshot::Export, failover: false };
        let begin = "CREATE_REPLICATION_SLOT \"a\"\"b\" TEMPORARY LOGICAL pgoutput";
        assert_eq!(create(&slot, 14), format!("{begin} EXPORT_SNAPSHOT"));
        slot.snapshot = Snapshot::Nothing;
        assert_eq!(create(&slot, 14), format!("{begin} NOEXPORT_SNAPSHOT"));
        assert_eq!(create(&slot, 15), format!("{begin} (SNAPSHOT 'nothing')"));
        slot.failover = true;
        assert_eq!(create(&slot, 17), format!("{begin} (SNAPSHOT 'nothing', FAILOVER)"));
    }
}

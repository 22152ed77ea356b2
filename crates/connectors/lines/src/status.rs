//! What a state file says about its link. Read only; works while an engine runs.

use crate::kept::{Kept, KeptTable, Output, word};
use tidewater_core::Result;
use tidewater_core::apply::Phase;
use tidewater_core::link::{LinkStatus, Status, TableStatus};

impl Output {
    /// What is remembered of the link that prints here.
    pub fn status(&self) -> Result<Status> {
        let Some(kept) = self.load()? else { return Ok(Status::default()) };
        Ok(Status { identity: Some(kept.identity.clone()), links: vec![link(kept)], ..Status::default() })
    }
}

fn link(kept: Kept) -> LinkStatus {
    let updated_at = match jiff::Timestamp::from_millisecond(kept.updated_ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{} ms", kept.updated_ms),
    };
    LinkStatus {
        link: kept.link,
        source: kept.source,
        source_identity: kept.source_identity,
        position: kept.position.map(|position| position.0),
        updated_at,
        tables: kept.tables.into_iter().map(|(name, table)| status(name, table)).collect(),
        held: vec![],
        discarded: 0,
    }
}

fn status(name: String, table: KeptTable) -> TableStatus {
    let phase = table.ledger.phase;
    TableStatus {
        name,
        phase: word(&phase).to_owned(),
        reason: match phase {
            Phase::Halted(why) => Some(why),
            _ => None,
        },
        held: 0,
    }
}

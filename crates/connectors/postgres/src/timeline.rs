//! Timelines: a standby that takes over goes on from where it stood, which may be before what its primary had sent us.
//!
//! Places in the log are numbers that every timeline counts on, so a place alone does not say whether the server that is
//! there now has what was read up to it. The timeline that a position was read on is noted at the publication; where
//! another one runs, its history says how far both are the same. Tests: `tests/it/links/failover.rs`.

use crate::lsn::Lsn;
use crate::schema::cell;
use crate::session::Session;
use tidewater_core::{Error, Result};

/// The number of a timeline; 1 until a standby takes over, or the cluster is restored.
pub(crate) type Timeline = u32;

const NOTE: &str = "\non timeline ";

/// As it is appended to a comment.
pub(crate) fn noted(timeline: Option<Timeline>) -> String {
    timeline.map(|timeline| format!("{NOTE}{timeline}")).unwrap_or_default()
}

/// A comment, and the timeline that is noted behind it.
pub(crate) fn split(comment: &str) -> (&str, Option<Timeline>) {
    match comment.rsplit_once(NOTE) {
        Some((comment, timeline)) => (comment, timeline.parse().ok()),
        None => (comment, None),
    }
}

/// The timeline that the server writes.
pub(crate) async fn current(session: &mut Session) -> Result<Timeline> {
    let sql = "SELECT pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)";
    let rows = session.query(sql).await?.rows;
    let row = rows.first().ok_or_else(|| Error::internal("a log without a name"))?;
    Timeline::from_str_radix(cell(row, 0)?, 16).map_err(|_| Error::internal("a log with an odd name"))
}

/// Why a place that was reached on one timeline is not known to be part of the one that runs now; `None` where it is.
pub(crate) async fn left(session: &mut Session, read_on: Option<Timeline>, place: Lsn) -> Result<Option<String>> {
    let now = current(session).await?;
    if now == read_on.unwrap_or(1) {
        return Ok(None);
    }
    let mut connection = session.replication().await?;
    let answer = connection.query(&format!("TIMELINE_HISTORY {now}")).await;
    let answer = answer.map_err(|error| crate::error::explain(error, &session.shown))?;
    let common = read_on.and_then(|read_on| end_of(read_on, answer.first("content")?));
    if common.is_some_and(|end| place <= end) {
        return Ok(None);
    }
    Ok(Some("another server took over, or it was restored, before what was already read had reached it".to_owned()))
}

/// Where a timeline was left, by the history of one that came after it.
fn end_of(timeline: Timeline, history: &str) -> Option<Lsn> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse::<Timeline>().ok()?, words.next()?.parse::<Lsn>().ok()?))
    };
    history.lines().filter_map(line).find(|(left, _)| *left == timeline).map(|(_, end)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_is_noted_behind_a_comment() {
        let comment = format!("for till.db\nab-1{}", noted(Some(12)));
        assert_eq!(split(&comment), ("for till.db\nab-1", Some(12)));
        assert_eq!(split("for till.db\nab-1"), ("for till.db\nab-1", None));
    }

    #[test]
    fn a_history_says_where_a_timeline_was_left() {
        let history = "1\t0/3000110\tno recovery target specified\n\n2\t1/A0\tno recovery target specified\n";
        assert_eq!((end_of(1, history), end_of(2, history)), (Some(Lsn(0x300_0110)), Some(Lsn(0x1_0000_00A0))));
        assert_eq!(end_of(3, history), None);
    }
}

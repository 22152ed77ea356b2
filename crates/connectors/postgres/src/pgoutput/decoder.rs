//! Takes messages apart, and keeps what they depend on: the version, and whether a streamed part is open.

use super::cursor::{Cursor, DecodeError};
use super::message::{
    Abort, Begin, Columns, Commit, Delete, Insert, LogicalMessage, Message, OldTuple, Relation, RelationIds,
    ReplicaIdentity, StreamCommit, Truncate, Tuple, TypeName, Update,
};

/// Decodes the messages of one stream, in order.
///
/// After an error the state is what it was before: the message counts as not seen.
#[derive(Debug, Clone)]
pub struct Decoder {
    version: u8,
    part: Option<u32>,
}

impl Decoder {
    /// For the version of the protocol that the stream was started with.
    pub fn new(version: u8) -> Self {
        Self { version, part: None }
    }

    /// The transaction whose part is open.
    pub fn part(&self) -> Option<u32> {
        self.part
    }

    /// Decodes one message.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u8("kind")?;
        self.check_place(kind)?;
        let message = match kind {
            b'B' => begin(&mut cursor)?,
            b'C' => Message::Commit(commit(&mut cursor)?),
            b'O' => Message::Origin { commit: cursor.lsn("origin")?, name: cursor.name("origin")? },
            b'S' => stream_start(&mut cursor)?,
            b'E' => Message::StreamStop,
            b'c' => {
                Message::StreamCommit(StreamCommit { xid: cursor.u32("transaction")?, commit: commit(&mut cursor)? })
            }
            b'A' => self.abort(&mut cursor)?,
            _ => self.change(kind, &mut cursor)?,
        };
        cursor.end()?;
        match message {
            Message::StreamStart { xid, .. } => self.part = Some(xid),
            Message::StreamStop => self.part = None,
            _ => {}
        }
        Ok(message)
    }

    /// Whether a message of this kind may come now.
    fn check_place(&self, kind: u8) -> Result<(), DecodeError> {
        let is_open = self.part.is_some();
        match kind {
            b'b' | b'P' | b'K' | b'r' | b'p' => Err(DecodeError::TwoPhase(kind)),
            b'S' | b'E' | b'c' | b'A' if self.version < 2 => Err(DecodeError::Place(kind, "needs version 2")),
            b'B' | b'C' | b'S' | b'c' | b'A' if is_open => {
                Err(DecodeError::Place(kind, "inside a part of a transaction"))
            }
            b'E' if !is_open => Err(DecodeError::Place(kind, "outside of a part of a transaction")),
            _ => Ok(()),
        }
    }

    /// What may come in a streamed part too; there each begins with its transaction.
    fn change<'a>(&self, kind: u8, cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
        if !b"RYIUDTM".contains(&kind) {
            return Err(DecodeError::Kind(kind));
        }
        let xid = if self.part.is_some() { Some(cursor.u32("transaction")?) } else { None };
        Ok(match kind {
            b'R' => Message::Relation(relation(cursor, xid)?),
            b'Y' => {
                let (oid, schema, name) = (cursor.u32("type")?, cursor.name("schema")?, cursor.name("type's name")?);
                Message::Type(TypeName { xid, oid, schema, name })
            }
            b'I' => {
                let relation = cursor.u32("table")?;
                marked(cursor, b'N')?;
                Message::Insert(Insert { xid, relation, new: Tuple::read(cursor)? })
            }
            b'U' => update(cursor, xid)?,
            b'D' => {
                let relation = cursor.u32("table")?;
                let mark = cursor.u8("row's mark")?;
                Message::Delete(Delete { xid, relation, old: old(cursor, mark)? })
            }
            b'T' => {
                let count = cursor.u32("number of tables")?;
                let flags = cursor.flags(3, "options")?;
                let (cascade, restart_identity) = (flags & 1 != 0, flags & 2 != 0);
                let relations = RelationIds::read(cursor, count)?;
                Message::Truncate(Truncate { xid, relations, cascade, restart_identity })
            }
            _ => Message::Logical(LogicalMessage {
                xid,
                is_transactional: cursor.flags(1, "flags")? == 1,
                at: cursor.lsn("place")?,
                prefix: cursor.name("prefix")?,
                content: cursor.sized("content")?,
            }),
        })
    }

    fn abort<'a>(&self, cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
        let (xid, subtransaction) = (cursor.u32("transaction")?, cursor.u32("subtransaction")?);
        // Sent where streaming is parallel, which the version allows but does not ask for.
        let is_told = self.version >= 4 && !cursor.rest().is_empty();
        let at = if is_told { Some((cursor.lsn("place")?, cursor.i64("time")?)) } else { None };
        Ok(Message::StreamAbort(Abort { xid, subtransaction, at }))
    }
}

fn begin<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let (commit, committed_at) = (cursor.lsn("commit")?, cursor.i64("time")?);
    Ok(Message::Begin(Begin { commit, committed_at, xid: cursor.u32("transaction")? }))
}

fn commit(cursor: &mut Cursor<'_>) -> Result<Commit, DecodeError> {
    cursor.flags(0, "flags")?;
    Ok(Commit { commit: cursor.lsn("commit")?, end: cursor.lsn("end")?, committed_at: cursor.i64("time")? })
}

fn stream_start<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let xid = cursor.u32("transaction")?;
    Ok(Message::StreamStart { xid, is_first: cursor.flags(1, "flags")? == 1 })
}

fn relation<'a>(cursor: &mut Cursor<'a>, xid: Option<u32>) -> Result<Relation<'a>, DecodeError> {
    let (id, schema, name) = (cursor.u32("table")?, cursor.name("schema")?, cursor.name("table's name")?);
    let identity = match cursor.u8("replica identity")? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        other => return Err(DecodeError::Field(other, "replica identity")),
    };
    let columns = Columns::read(cursor)?;
    Ok(Relation { xid, id, schema, name, identity, columns })
}

fn update<'a>(cursor: &mut Cursor<'a>, xid: Option<u32>) -> Result<Message<'a>, DecodeError> {
    let relation = cursor.u32("table")?;
    let old = match cursor.u8("row's mark")? {
        b'N' => None,
        mark => {
            let old = old(cursor, mark)?;
            marked(cursor, b'N')?;
            Some(old)
        }
    };
    Ok(Message::Update(Update { xid, relation, old, new: Tuple::read(cursor)? }))
}

fn old<'a>(cursor: &mut Cursor<'a>, mark: u8) -> Result<OldTuple<'a>, DecodeError> {
    match mark {
        b'K' => Tuple::read(cursor).map(OldTuple::Key),
        b'O' => Tuple::read(cursor).map(OldTuple::Row),
        other => Err(DecodeError::Field(other, "row's mark")),
    }
}

fn marked(cursor: &mut Cursor<'_>, wanted: u8) -> Result<(), DecodeError> {
    let mark = cursor.u8("row's mark")?;
    if mark == wanted { Ok(()) } else { Err(DecodeError::Field(mark, "row's mark")) }
}

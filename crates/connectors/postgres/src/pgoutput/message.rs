//! The messages, as they are sent. Times are microseconds since 2000.

use super::cursor::{Cursor, DecodeError};
use crate::lsn::Lsn;

/// One message. `xid` is the (sub)transaction of a change, and there inside streamed parts only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A committed transaction begins.
    Begin(Begin),
    /// It ends.
    Commit(Commit),
    /// Where a transaction was first committed, and what that place calls itself.
    Origin {
        /// The commit there.
        commit: Lsn,
        /// The name.
        name: &'a str,
    },
    /// What a table is like from here on.
    Relation(Relation<'a>),
    /// What a type is called.
    Type(TypeName<'a>),
    /// A row came.
    Insert(Insert<'a>),
    /// A row changed.
    Update(Update<'a>),
    /// A row went.
    Delete(Delete<'a>),
    /// Tables were emptied.
    Truncate(Truncate<'a>),
    /// What a program put into the log.
    Logical(LogicalMessage<'a>),
    /// A part of a transaction that has not ended begins.
    StreamStart {
        /// The transaction.
        xid: u32,
        /// Whether it is its first part.
        is_first: bool,
    },
    /// The part ends.
    StreamStop,
    /// A transaction that came in parts is committed.
    StreamCommit(StreamCommit),
    /// A transaction that came in parts, or a part of it that is a subtransaction, is rolled back.
    StreamAbort(Abort),
}

/// A committed transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit lies.
    pub commit: Lsn,
    /// When it was committed.
    pub committed_at: i64,
    /// The transaction.
    pub xid: u32,
}

/// A transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Where its commit lies.
    pub commit: Lsn,
    /// Right behind it: what is to be confirmed.
    pub end: Lsn,
    /// When it was committed.
    pub committed_at: i64,
}

/// A transaction that came in parts is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The transaction.
    pub xid: u32,
    /// Its end.
    pub commit: Commit,
}

/// A transaction that came in parts is rolled back, or one of its subtransactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// The transaction.
    pub xid: u32,
    /// What is rolled back: changes with this number are void. The transaction itself where all of it is.
    pub subtransaction: u32,
    /// Where and when, where parallel streaming was asked for.
    pub at: Option<(Lsn, i64)>,
}

/// What a table is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// Its number, by which changes name it.
    pub id: u32,
    /// Its schema; empty for `pg_catalog`.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What of an old row is logged.
    pub identity: ReplicaIdentity,
    /// Its published columns, in order.
    pub columns: Columns<'a>,
}

/// What of an old row is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// Its primary key.
    Default,
    /// Nothing.
    Nothing,
    /// All of it.
    Full,
    /// The columns of an index.
    Index,
}

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDef<'a> {
    /// Whether it belongs to what is logged of old rows.
    pub is_key: bool,
    /// Its name.
    pub name: &'a str,
    /// The number of its type.
    pub type_oid: u32,
    /// Its type's modifier, or -1.
    pub type_modifier: i32,
}

/// What a type is called. Sent before a relation that has a column of a type that is not built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeName<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// Its number.
    pub oid: u32,
    /// Its schema; empty for `pg_catalog`.
    pub schema: &'a str,
    /// Its name; that of its base type for a domain.
    pub name: &'a str,
}

/// A row came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// The table.
    pub relation: u32,
    /// The row.
    pub new: Tuple<'a>,
}

/// A row changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// The table.
    pub relation: u32,
    /// What it was before, where the key changed or all of it is logged.
    pub old: Option<OldTuple<'a>>,
    /// What it is now.
    pub new: Tuple<'a>,
}

/// A row went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// The table.
    pub relation: u32,
    /// What it was.
    pub old: OldTuple<'a>,
}

/// What is told of a row as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// The columns of its identity; the others are NULL here, whatever they held.
    Key(Tuple<'a>),
    /// All of it.
    Row(Tuple<'a>),
}

/// Tables were emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncate<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// The tables.
    pub relations: RelationIds<'a>,
    /// Those that refer to them were emptied too; they are listed.
    pub cascade: bool,
    /// Their sequences begin anew.
    pub restart_identity: bool,
}

/// What a program put into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// The transaction, inside a streamed part.
    pub xid: Option<u32>,
    /// Whether it belongs to its transaction; otherwise it comes at once, and outside of any.
    pub is_transactional: bool,
    /// Where it lies.
    pub at: Lsn,
    /// Whose it is.
    pub prefix: &'a str,
    /// What it says.
    pub content: &'a [u8],
}

/// The numbers of tables, as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationIds<'a>(&'a [u8]);

impl<'a> RelationIds<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>, count: u32) -> Result<Self, DecodeError> {
        const FIELD: &str = "tables";
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(4));
        cursor.bytes(length.ok_or(DecodeError::Truncated(FIELD))?, FIELD).map(Self)
    }

    /// The numbers.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.0.as_chunks::<4>().0.iter().map(|id| u32::from_be_bytes(*id))
    }
}

/// The columns of a table, as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Looks at every column once, so that going over them later cannot fail.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let count = cursor.u16("number of columns")?;
        let from = cursor.rest();
        for _ in 0..count {
            column_def(cursor)?;
        }
        let length = from.len() - cursor.rest().len();
        Ok(Self { count, bytes: &from[..length] })
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns, in order.
    pub fn iter(&self) -> impl Iterator<Item = ColumnDef<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map_while(move |_| column_def(&mut cursor).ok())
    }
}

fn column_def<'a>(cursor: &mut Cursor<'a>) -> Result<ColumnDef<'a>, DecodeError> {
    Ok(ColumnDef {
        is_key: cursor.flags(1, "column's flags")? == 1,
        name: cursor.name("column's name")?,
        type_oid: cursor.u32("column's type")?,
        type_modifier: cursor.i32("column's type")?,
    })
}

/// The values of a row, as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnValue<'a> {
    /// NULL.
    Null,
    /// A large value that the change did not touch, and that is not sent again.
    Unchanged,
    /// In the type's text form.
    Text(&'a [u8]),
    /// In the type's binary form.
    Binary(&'a [u8]),
}

impl<'a> Tuple<'a> {
    /// Looks at every column once, so that going over them later cannot fail.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let count = cursor.u16("number of columns")?;
        let from = cursor.rest();
        for _ in 0..count {
            column(cursor)?;
        }
        let length = from.len() - cursor.rest().len();
        Ok(Self { count, bytes: &from[..length] })
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none, as in a table without columns.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, in order of the relation's columns.
    pub fn columns(&self) -> impl Iterator<Item = ColumnValue<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map_while(move |_| column(&mut cursor).ok())
    }
}

fn column<'a>(cursor: &mut Cursor<'a>) -> Result<ColumnValue<'a>, DecodeError> {
    const FIELD: &str = "values";
    Ok(match cursor.u8(FIELD)? {
        b'n' => ColumnValue::Null,
        b'u' => ColumnValue::Unchanged,
        b't' => ColumnValue::Text(cursor.sized(FIELD)?),
        b'b' => ColumnValue::Binary(cursor.sized(FIELD)?),
        other => return Err(DecodeError::Field(other, FIELD)),
    })
}

//! Messages that own what they hold, and an encoder for them: written from the protocol's description, so that the
//! decoder has something to be wrong against.

use tidewater_postgres::Lsn;
use tidewater_postgres::pgoutput::{
    Abort, Begin, ColumnValue, Commit, Message, OldTuple, ReplicaIdentity, StreamCommit, Tuple,
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Relation(u32, String, String, u8, Vec<(bool, String, u32, i32)>),
    Type(u32, String, String),
    Insert(u32, Vec<Column>),
    /// The old row with its mark, `K` or `O`.
    Update(u32, Option<(u8, Vec<Column>)>, Vec<Column>),
    Delete(u32, (u8, Vec<Column>)),
    Truncate(Vec<u32>, bool, bool),
    Logical(bool, u64, String, Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Model {
    Begin(Begin),
    Commit(Commit),
    Origin(u64, String),
    StreamStart(u32, bool),
    StreamStop,
    StreamCommit(StreamCommit),
    StreamAbort(Abort),
    Change(Option<u32>, Change),
}

impl Model {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let change = |xid: Option<u32>, change: Change| Self::Change(xid, change);
        match *message {
            Message::Begin(it) => Self::Begin(it),
            Message::Commit(it) => Self::Commit(it),
            Message::Origin { commit, name } => Self::Origin(commit.0, name.to_owned()),
            Message::StreamStart { xid, is_first } => Self::StreamStart(xid, is_first),
            Message::StreamStop => Self::StreamStop,
            Message::StreamCommit(it) => Self::StreamCommit(it),
            Message::StreamAbort(it) => Self::StreamAbort(it),
            Message::Relation(it) => {
                let identity = match it.identity {
                    ReplicaIdentity::Default => b'd',
                    ReplicaIdentity::Nothing => b'n',
                    ReplicaIdentity::Full => b'f',
                    ReplicaIdentity::Index => b'i',
                };
                let columns = it.columns.iter().map(|c| (c.is_key, c.name.to_owned(), c.type_oid, c.type_modifier));
                let columns: Vec<_> = columns.collect();
                assert_eq!((columns.len(), columns.is_empty()), (it.columns.len(), it.columns.is_empty()));
                change(it.xid, Change::Relation(it.id, it.schema.to_owned(), it.name.to_owned(), identity, columns))
            }
            Message::Type(it) => change(it.xid, Change::Type(it.oid, it.schema.to_owned(), it.name.to_owned())),
            Message::Insert(it) => change(it.xid, Change::Insert(it.relation, columns(it.new))),
            Message::Update(it) => change(it.xid, Change::Update(it.relation, it.old.map(old), columns(it.new))),
            Message::Delete(it) => change(it.xid, Change::Delete(it.relation, old(it.old))),
            Message::Truncate(it) => {
                change(it.xid, Change::Truncate(it.relations.iter().collect(), it.cascade, it.restart_identity))
            }
            Message::Logical(it) => {
                let (prefix, content) = (it.prefix.to_owned(), it.content.to_owned());
                change(it.xid, Change::Logical(it.is_transactional, it.at.0, prefix, content))
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Begin(it) => {
                out.push(b'B');
                put(&mut out, &it.commit.0.to_be_bytes());
                put(&mut out, &it.committed_at.to_be_bytes());
                put(&mut out, &it.xid.to_be_bytes());
            }
            Self::Commit(it) => {
                out.push(b'C');
                put_commit(&mut out, it);
            }
            Self::Origin(commit, name) => {
                out.push(b'O');
                put(&mut out, &commit.to_be_bytes());
                put_name(&mut out, name);
            }
            Self::StreamStart(xid, is_first) => {
                out.push(b'S');
                put(&mut out, &xid.to_be_bytes());
                out.push(u8::from(*is_first));
            }
            Self::StreamStop => out.push(b'E'),
            Self::StreamCommit(it) => {
                out.push(b'c');
                put(&mut out, &it.xid.to_be_bytes());
                put_commit(&mut out, &it.commit);
            }
            Self::StreamAbort(it) => {
                out.push(b'A');
                put(&mut out, &it.xid.to_be_bytes());
                put(&mut out, &it.subtransaction.to_be_bytes());
                if let Some((Lsn(place), time)) = it.at {
                    put(&mut out, &place.to_be_bytes());
                    put(&mut out, &time.to_be_bytes());
                }
            }
            Self::Change(xid, change) => put_change(&mut out, *xid, change),
        }
        out
    }
}

fn columns(tuple: Tuple<'_>) -> Vec<Column> {
    let columns: Vec<Column> = tuple
        .columns()
        .map(|column| match column {
            ColumnValue::Null => Column::Null,
            ColumnValue::Unchanged => Column::Unchanged,
            ColumnValue::Text(bytes) => Column::Text(bytes.to_owned()),
            ColumnValue::Binary(bytes) => Column::Binary(bytes.to_owned()),
        })
        .collect();
    assert_eq!((columns.len(), columns.is_empty()), (tuple.len(), tuple.is_empty()));
    columns
}

fn old(old: OldTuple<'_>) -> (u8, Vec<Column>) {
    match old {
        OldTuple::Key(tuple) => (b'K', columns(tuple)),
        OldTuple::Row(tuple) => (b'O', columns(tuple)),
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    put(out, name.as_bytes());
    out.push(0);
}

fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, &u32::try_from(bytes.len()).expect("a short list").to_be_bytes());
    put(out, bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    put(out, &u16::try_from(count).expect("a short list").to_be_bytes());
}

fn put_commit(out: &mut Vec<u8>, commit: &Commit) {
    out.push(0);
    put(out, &commit.commit.0.to_be_bytes());
    put(out, &commit.end.0.to_be_bytes());
    put(out, &commit.committed_at.to_be_bytes());
}

fn put_row(out: &mut Vec<u8>, mark: u8, columns: &[Column]) {
    out.push(mark);
    put_count(out, columns.len());
    for column in columns {
        match column {
            Column::Null => out.push(b'n'),
            Column::Unchanged => out.push(b'u'),
            Column::Text(bytes) => {
                out.push(b't');
                put_sized(out, bytes);
            }
            Column::Binary(bytes) => {
                out.push(b'b');
                put_sized(out, bytes);
            }
        }
    }
}

fn put_change(out: &mut Vec<u8>, xid: Option<u32>, change: &Change) {
    out.push(match change {
        Change::Relation(..) => b'R',
        Change::Type(..) => b'Y',
        Change::Insert(..) => b'I',
        Change::Update(..) => b'U',
        Change::Delete(..) => b'D',
        Change::Truncate(..) => b'T',
        Change::Logical(..) => b'M',
    });
    if let Some(xid) = xid {
        put(out, &xid.to_be_bytes());
    }
    match change {
        Change::Relation(id, schema, name, identity, columns) => {
            put(out, &id.to_be_bytes());
            put_name(out, schema);
            put_name(out, name);
            out.push(*identity);
            put_count(out, columns.len());
            for (is_key, name, oid, modifier) in columns {
                out.push(u8::from(*is_key));
                put_name(out, name);
                put(out, &oid.to_be_bytes());
                put(out, &modifier.to_be_bytes());
            }
        }
        Change::Type(oid, schema, name) => {
            put(out, &oid.to_be_bytes());
            put_name(out, schema);
            put_name(out, name);
        }
        Change::Insert(relation, new) => {
            put(out, &relation.to_be_bytes());
            put_row(out, b'N', new);
        }
        Change::Update(relation, old, new) => {
            put(out, &relation.to_be_bytes());
            if let Some((mark, old)) = old {
                put_row(out, *mark, old);
            }
            put_row(out, b'N', new);
        }
        Change::Delete(relation, (mark, old)) => {
            put(out, &relation.to_be_bytes());
            put_row(out, *mark, old);
        }
        Change::Truncate(relations, cascade, restart) => {
            put(out, &u32::try_from(relations.len()).expect("a short list").to_be_bytes());
            out.push(u8::from(*cascade) | u8::from(*restart) << 1);
            relations.iter().for_each(|relation| put(out, &relation.to_be_bytes()));
        }
        Change::Logical(is_transactional, at, prefix, content) => {
            out.push(u8::from(*is_transactional));
            put(out, &at.to_be_bytes());
            put_name(out, prefix);
            put_sized(out, content);
        }
    }
}

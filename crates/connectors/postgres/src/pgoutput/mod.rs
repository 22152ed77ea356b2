//! Decoder for what the output plugin `pgoutput` sends, versions 1 to 4 of its protocol.
//!
//! Contract. Messages borrow from the bytes they are read from; nothing is allocated.
//! Every input that is not exactly a message is an error, never a
//! panic: cut short, with bytes left over, with flags or kinds that are not defined, out of place in a stream. Messages
//! of two-phase commit, which we never ask for, are refused by name. Pure: no input or output, no clock.
//!
//! `message` says what there is, `decoder` keeps the little state that messages need (inside a streamed part each
//! carries a transaction), `cursor` reads fields. Tests: `tests/it/pgoutput/`, golden bytes, round trips through an
//! encoder, mutations, and real servers.

mod cursor;
mod decoder;
mod message;

pub use cursor::DecodeError;
pub use decoder::Decoder;
pub use message::{
    Abort, Begin, ColumnDef, ColumnValue, Columns, Commit, Delete, Insert, LogicalMessage, Message, OldTuple, Relation,
    RelationIds, ReplicaIdentity, StreamCommit, Truncate, Tuple, TypeName, Update,
};

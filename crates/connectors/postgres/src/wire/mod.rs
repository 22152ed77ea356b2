//! A connection of our own to a server: for replication, which no library of ours speaks, and for whatever is asked
//! beside it.
//!
//! `stream` opens the bytes and `tls` protects them, `sign_in` is let in, `connection` asks and is answered, `slot`
//! has the commands about slots, `copy` rows in bulk, `replication` the stream of changes; `message` takes bytes apart
//! and `error` says what went wrong. Invariants: every message has a bound before it is read; TLS and passwords as
//! [`crate::Settings`] promises; nothing here retries, [`WireError::is_retryable`] only says where that may help.
//! Tests: `tests/it/connecting.rs` and `tests/it/streaming.rs`, on real servers.

mod connection;
mod copy;
mod error;
mod message;
mod replication;
mod sign_in;
mod slot;
mod stream;
mod tls;

pub(crate) use connection::Moved;
pub use connection::{Connection, Rows};
pub(crate) use copy::{Answer, SENT_BYTES};
pub use error::{ServerError, WireError};
pub use replication::{Frame, Pulse, ReplicationStream, StreamOptions, Streaming};
pub use sign_in::Purpose;
pub use slot::{NewSlot, Slot, Snapshot, SystemIdentity};
pub(crate) use slot::{quoted_name, quoted_text};
pub use stream::Stream;

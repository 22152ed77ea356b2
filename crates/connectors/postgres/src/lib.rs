//! PostgreSQL as a source and as a target of Tidewater.
//!
//! `settings` says how a server is reached, `wire` reaches it and streams its changes, `pgoutput` takes
//! them apart, `values` turns what they hold over, `lsn` names places in the server's log.
//! Tests: `tests/it/`, on private servers of the oldest and the newest release that are promised.

mod lsn;
pub mod pgoutput;
mod settings;
mod values;
pub mod wire;

pub use lsn::{Lsn, LsnError};
pub use settings::{Host, Roots, Settings, SettingsError, TlsMode};
pub use values::{PgType, ValueError};

//! PostgreSQL as a source and as a target of Tidewater.
//!
//! Who has read one connector finds the way in all: `scan` reads by key, `apply` writes by the statements of `writer`,
//! `schema` looks, `create` and `ddl` make tables, `ledger`, `held` and `undo` keep what `meta` describes, `text` turns values
//! over. `triggers` sees to those of the target, `sequences` moves its sequences on. `capture` installs what the log needs,
//! `stream` reads it ahead, `shape` and `pgoutput` take it apart, `point` is a position in it, `timeline` tells whether a
//! server that took over has it. `bulk` passes large tables on as they are. `settings` says how a server is reached, `wire`
//! reaches it and streams its changes, `session` is a connection for statements, which `watchdog` keeps from waiting on a
//! dead one, `lsn` names places in the server's log.
//! Tests: `tests/it/`, on private servers of the oldest and the newest release that are promised.

mod apply;
mod bulk;
mod capture;
mod create;
mod ddl;
mod error;
mod held;
mod ledger;
mod lsn;
mod meta;
pub mod pgoutput;
mod point;
mod scan;
mod schema;
mod script;
mod sequences;
mod session;
mod settings;
mod shape;
mod source;
mod sql;
mod status;
mod stream;
mod target;
mod text;
mod timeline;
mod triggers;
mod undo;
mod watchdog;
pub mod wire;
mod writer;

pub use held::{discard, quarantine};
pub use lsn::{Lsn, LsnError};
pub use settings::{Host, Roots, Settings, SettingsError, TlsMode};
pub use source::PostgresSource;
pub use status::status;
pub use target::{Access, PostgresTarget};

//! SQLite as a source, as a target and as a replica of Tidewater. Other programs may use the database at the same time.
//!
//! Who has read one connector finds the way in all: `capture` reads changes, `scan` reads by key, `apply` writes
//! (`collisions` and `aside` where unique values are in the way), `schema` looks, `create` makes tables, `triggers`
//! and `probes` are what capture installs, `appended` finds the rows that they do not log, `replica/` does both ways,
//! `held` keeps the rows that could not be written, `meta` is what we keep in the database, `kinds` tells what columns are for, `own_ddl` tells our changes of a schema from others', `types` turns values
//! over, `lease` keeps two engines apart.
//!
//! Architecture invariants: a connection lives on one thread (`worker`); a database file is never
//! opened by other means than SQLite; no write lock is held for longer than a batch; positions are stored with
//! the rows. Tests: `tests/it/`, where a second process writes with the `sqlite3` shell.

mod appended;
mod apply;
mod aside;
mod capture;
mod chain;
mod collisions;
mod connection;
mod create;
mod error;
mod held;
mod kinds;
mod lease;
mod ledger;
mod meta;
mod own_ddl;
mod probes;
mod read;
mod replica;
mod scan;
mod schema;
mod sql;
mod status;
mod target;
mod teardown;
mod triggers;
mod types;
mod undo;
mod worker;

pub use capture::SqliteSource;
pub use connection::{Access, Database};
pub use held::{discard, quarantine};
pub use replica::SqliteReplica;
pub use status::status;
pub use target::SqliteTarget;

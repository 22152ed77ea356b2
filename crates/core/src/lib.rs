//! The engine of Tidewater: it keeps tables at a target in step with tables at a source, and can prove that they are.
//!
//! The data's way names the modules: [`capture`] reads a source in commit order, [`change`] is what moves,
//! [`transport`] carries it in bounded batches, [`apply`] writes a target exactly once, [`link`] runs one
//! source-target pair, [`replica`] is an end that others write to as well, [`merge`] settles rows that are written on several sides, [`verify`] compares both sides, [`mod@env`] is the only door to clock and randomness.
//!
//! Architecture invariants: this crate names no database and no HTTP; only `env` touches clock, randomness and
//! disk; only `link` retries.

pub mod apply;
pub mod capture;
pub mod change;
pub mod env;
mod error;
pub mod link;
pub mod merge;
pub mod replica;
pub mod transport;
pub mod verify;

pub use error::{Code, Error, Kind, Result, code};

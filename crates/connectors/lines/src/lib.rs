//! Standard output as a target of Tidewater: every change a line of JSON, for whatever reads lines.
//!
//! `target` answers the link, `form` says how the rows of a table are written, `json` how values are, `printer` owns
//! the stream, `kept` is what is remembered of a link, in memory or in a state file, `status` reads it.
//! Invariants: nothing but whole lines reaches the stream, whoever else prints; a position is kept only after its
//! lines were handed to whoever reads. What a line holds: `docs/stdout.md`. Tests: beside `json` and `kept`, and the
//! command's, `crates/cli/tests/it/stdout.rs`.

mod form;
mod json;
mod kept;
mod printer;
mod status;
mod target;

pub use kept::Output;
pub use target::LinesTarget;

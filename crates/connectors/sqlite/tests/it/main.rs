//! Tests of the SQLite connector on real files, with the `sqlite3` shell as the other program.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod appended;
mod both_ways;
mod differential;
mod given;
#[path = "../../../../../examples/library/main.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod library;
mod ours;
mod positions;
mod references;
mod tables;
mod traps;
mod uniques;

//! The core from outside: its encoding against golden files, its decisions against models, its link on the doubles.

mod compare;
mod encoding;
mod fold;
mod given;
mod link;
mod merge;
mod spool;

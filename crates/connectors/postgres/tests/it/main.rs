//! Tests of the PostgreSQL connector, on real servers of the oldest and the newest release that are promised.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "drives real processes, on the real clock")]

mod connecting;
mod given;
mod pgoutput;
mod streaming;
mod values;

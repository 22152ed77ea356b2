//! Tests of the PostgreSQL connector, on real servers of the oldest and the newest release that are promised.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "drives real processes, on the real clock"
)]

mod connecting;
mod given;
mod links;
mod pgoutput;
mod streaming;

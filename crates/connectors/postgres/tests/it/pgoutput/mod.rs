//! The decoder: golden bytes, round trips, mutations. Against real servers: `streaming.rs`.

mod golden;
mod model;
mod properties;

pub(crate) use model::{Change, Column, Model};

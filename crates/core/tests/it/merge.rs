//! Rows written on several sides: joining by properties, rules by name, every schedule of a small world, stored bytes.

mod encoding;
mod joins;
mod leaves;
mod pairwise;
mod replica;
mod rules;
mod schedules;
mod world;

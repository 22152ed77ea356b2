//! Links with PostgreSQL at one end or both: the first copy, changes that follow, comparisons, tables that are emptied.

mod bulk;
mod cuts;
mod drift;
mod failover;
mod given;
mod kills;
mod quarantine;
mod sequences;
mod source_troubles;
mod spool;
mod stories;
mod traps;
mod triggers;
mod workload;

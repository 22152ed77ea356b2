//! Links with PostgreSQL at one end or both: the first copy, changes that follow, comparisons, tables that are emptied.

mod given;
mod kills;
mod spool;
mod stories;
mod traps;

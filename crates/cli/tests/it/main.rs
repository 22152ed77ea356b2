//! The command from outside: the real binary on real files, with the `sqlite3` shell as the other program.

mod bad_input;
mod both_ways;
mod config;
mod examples;
mod first_contact;
mod given;
mod kill;
mod postgres;
mod quarantine;
mod resync;
mod schema;
mod stdout;
mod sync;
mod teardown;
mod tidy;
mod verify;

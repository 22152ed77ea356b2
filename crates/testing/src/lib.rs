//! Private database servers for tests: real ones, started by the test that needs them and gone with it.
//!
//! `installation` finds the programs and the user they run as, `server` starts, kills and restarts a cluster,
//! `certificates` makes a certificate authority for one server, `proxy` is a network that fails. Invariants: a server listens on the loopback address
//! only, lives in a temporary folder of its own, and ends when its value is dropped and when the test's process dies,
//! however it dies. A program that is missing is an error that says what to install, never a test left out.
//! Tests: `tests/it/`.

mod certificates;
mod installation;
mod proxy;
mod server;

pub use installation::Release;
pub use proxy::{Fault, Proxy};
pub use server::{Access, Postgres, Setup};

/// What went wrong with a server of a test, in words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Failed(String);

impl Failed {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Failed>;

//! Whether a server that says nothing still works for us: a statement may take long, a dead network lasts for ever.
//!
//! Where no byte moves for the time that the settings allow, the server is asked over another connection what became of
//! the session. One that works is waited for, whatever it takes. One that is gone, or that has answered long ago, or that
//! waits for what we have sent, is ended there, so that its locks are free, and the statement fails here as one that may
//! be tried again. Tests: `tests/it/links/cuts.rs`.

use crate::settings::Settings;
use crate::wire::{Connection, Moved, Purpose, WireError};
use std::time::Duration;
use tidewater_core::env::Env;

/// What a server has answered may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// A session at a server, as others see it.
pub(crate) struct Watched<'s> {
    settings: &'s Settings,
    env: &'s Env,
    /// The session's number at the server; `None` where it is not known yet.
    pid: Option<u32>,
    moved: Moved,
}

impl<'s> Watched<'s> {
    pub(crate) fn over(connection: &Connection, (settings, env): (&'s Settings, &'s Env), pid: Option<u32>) -> Self {
        Self { settings, env, pid, moved: connection.moved() }
    }

    /// Does work over the session's connection, and fails once that is dead.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.dead() => Err(WireError::Silent(self.settings.network_timeout)),
        }
    }

    /// Ends when the connection is dead.
    async fn dead(&self) {
        loop {
            let before = self.moved.bytes();
            self.env.clock.sleep(self.settings.network_timeout).await;
            if self.moved.bytes() != before || self.is_working().await {
                continue;
            }
            self.env.clock.sleep(ON_ITS_WAY).await;
            if self.moved.bytes() == before {
                // A server that cannot be reached ends the session itself.
                let _unreachable = self.ask("SELECT pg_catalog.pg_terminate_backend(pid)").await;
                return;
            }
        }
    }

    async fn is_working(&self) -> bool {
        let state = "SELECT state NOT LIKE 'idle%' AND coalesce(wait_event, '') NOT IN ('ClientRead', 'ClientWrite')";
        match self.ask(state).await {
            // No row: there is no such session.
            Ok(answer) => answer.is_some_and(|answer| answer != "f"),
            // Whoever refuses lives: too many sessions, no right to look.
            Err(error) => error.server().is_some(),
        }
    }

    /// Asks about the session over a connection of its own, in bounded time.
    async fn ask(&self, select: &str) -> Result<Option<String>, WireError> {
        let Some(pid) = self.pid else { return Ok(None) };
        let sql = format!("{select} FROM pg_catalog.pg_stat_activity WHERE pid = {pid}");
        let asking = async {
            let mut connection = Connection::open(self.settings, Purpose::Sql, self.env).await?;
            let rows = connection.query(&sql).await?.rows;
            Ok(rows.into_iter().next().map(|row| row.into_iter().next().flatten().unwrap_or_default()))
        };
        tokio::select! {
            answer = asking => answer,
            () = self.env.clock.sleep(self.settings.connect_timeout * 2) =>
                Err(WireError::Silent(self.settings.connect_timeout * 2)),
        }
    }
}

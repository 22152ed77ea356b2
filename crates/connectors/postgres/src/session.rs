//! A connection for statements, set up so that the server prints every value in one way.
//!
//! Contract. After an error of the server outside a transaction the session is usable; after any other it connects
//! again with the next statement. What a call was doing when it was dropped is not known: the next one begins with a
//! new connection. Architecture invariant: values reach SQL as quoted literals or COPY lines only.

use crate::error::explain;
use crate::script::Script;
use crate::settings::Settings;
use crate::watchdog::Watched;
use crate::wire::{Connection, Purpose, Rows, WireError};
use bytes::Bytes;
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::transport::RawRows;

/// Nobody else's waiting makes us wait for ever. `search_path` is empty: everything is named with its schema. A commit
/// is answered when it survives a crash, also where the server is set up to answer before.
const SET_UP: &str = "SET xmloption = 'content'; SET search_path = ''; SET standard_conforming_strings = on; \
     SET row_security = off; SET statement_timeout = 0; SET lock_timeout = '30s'; SET client_min_messages = warning; \
     SELECT pg_catalog.pg_backend_pid(), CASE pg_catalog.current_setting('synchronous_commit') \
     WHEN 'off' THEN pg_catalog.set_config('synchronous_commit', 'on', false) END";

/// A transaction that hears nothing more of us does not keep its locks: the network is dead, or we are.
fn limits(settings: &Settings) -> String {
    let within = settings.network_timeout;
    format!(
        "SET idle_in_transaction_session_timeout = {}; SET tcp_keepalives_idle = {}; SET tcp_keepalives_interval = {}; \
         SET tcp_user_timeout = {}",
        within.as_millis() * 2,
        within.as_secs() / 3,
        (within.as_secs() / 6).max(1),
        within.as_millis()
    )
}

/// A connection for statements.
pub(crate) struct Session {
    connection: Option<Connection>,
    /// Its number at the server.
    pid: Option<u32>,
    settings: Settings,
    env: Env,
    /// The server for people.
    pub(crate) shown: String,
    /// A call began and has not ended: dropped in the middle, it leaves this behind.
    in_call: bool,
}

impl Session {
    pub(crate) async fn open(settings: &Settings, env: &Env) -> Result<Self> {
        let (settings, env, shown) = (settings.clone(), env.clone(), settings.shown());
        let mut session = Self { connection: None, pid: None, settings, env, shown, in_call: false };
        session.connected().await?;
        Ok(session)
    }

    pub(crate) fn major_version(&self) -> u32 {
        self.connection.as_ref().map_or(0, Connection::major_version)
    }

    async fn connected(&mut self) -> Result<&mut Connection> {
        if self.in_call {
            self.connection = None;
            self.in_call = false;
        }
        if self.connection.is_none() {
            let opened = Connection::open(&self.settings, Purpose::Sql, &self.env).await;
            let mut connection = opened.map_err(|error| explain(error, &self.shown))?;
            let watched = Watched::over(&connection, (&self.settings, &self.env), None);
            let set_up = format!("{}; {SET_UP}", limits(&self.settings));
            let rows = watched.during(connection.query(&set_up)).await.map_err(|error| explain(error, &self.shown))?;
            self.pid = rows.rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| tidewater_core::Error::internal("a connection went away"))
    }

    /// Keeps the connection where the server only refused a statement.
    fn after<T>(&mut self, answer: Result<T, WireError>) -> Result<T, WireError> {
        self.in_call = false;
        if answer.as_ref().is_err_and(|error| error.server().is_none_or(|error| error.severity != "ERROR")) {
            self.connection = None;
        }
        answer
    }

    /// Runs statements; what the server says against them is for the caller to judge.
    pub(crate) async fn attempt(&mut self, sql: &str) -> Result<Result<Rows, WireError>> {
        self.connected().await?;
        self.in_call = true;
        let answer = match &mut self.connection {
            Some(connection) => {
                let watched = Watched::over(connection, (&self.settings, &self.env), self.pid);
                watched.during(connection.query(sql)).await
            }
            None => Err(WireError::Closed),
        };
        Ok(self.after(answer))
    }

    pub(crate) async fn query(&mut self, sql: &str) -> Result<Rows> {
        self.attempt(sql).await?.map_err(|error| explain(error, &self.shown))
    }

    /// Reads the lines of a COPY, until `each` says that it has enough.
    pub(crate) async fn copy_out(&mut self, sql: &str, mut each: impl FnMut(Bytes) -> bool) -> Result<()> {
        self.connected().await?;
        self.in_call = true;
        let answer = match &mut self.connection {
            Some(connection) => {
                let watched = Watched::over(connection, (&self.settings, &self.env), self.pid);
                watched.during(copied(connection, sql, &mut each)).await
            }
            None => Err(WireError::Closed),
        };
        if matches!(answer, Ok(false)) {
            self.connection = None;
        }
        self.after(answer).map(|_| ()).map_err(|error| explain(error, &self.shown))
    }

    /// Sends statements together. Says what each of them touched.
    pub(crate) async fn script(&mut self, script: &Script<'_>) -> Result<Result<Vec<u64>, WireError>> {
        self.connected().await?;
        self.in_call = true;
        let answer = match &mut self.connection {
            Some(connection) => {
                let watched = Watched::over(connection, (&self.settings, &self.env), self.pid);
                watched.during(script.run(connection)).await
            }
            None => Err(WireError::Closed),
        };
        Ok(self.after(answer))
    }

    /// Begins a COPY to us, read by [`Session::copied_bytes`].
    pub(crate) async fn begin_copy_out(&mut self, sql: &str) -> Result<()> {
        self.connected().await?;
        self.in_call = true;
        let answer = match &mut self.connection {
            Some(connection) => {
                let watched = Watched::over(connection, (&self.settings, &self.env), self.pid);
                watched.during(connection.copy_out(sql)).await
            }
            None => Err(WireError::Closed),
        };
        // Until everything is read, what is dropped leaves a connection in the middle of an answer.
        if answer.is_err() { self.after(answer).map_err(|error| explain(error, &self.shown)) } else { Ok(()) }
    }

    /// At least so many bytes of a COPY that was begun, as long as there are any; `None` when it has ended.
    pub(crate) async fn copied_bytes(&mut self, at_least: usize) -> Result<Option<Vec<u8>>> {
        if !self.in_call {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(at_least + at_least / 4);
        let answer = match &mut self.connection {
            Some(connection) => {
                let watched = Watched::over(connection, (&self.settings, &self.env), self.pid);
                watched.during(gathered(connection, &mut bytes, at_least)).await
            }
            None => Err(WireError::Closed),
        };
        match answer {
            Ok(true) => return Ok(Some(bytes)),
            Ok(false) => self.in_call = false,
            Err(error) => self.after(Err(error)).map_err(|error| explain(error, &self.shown))?,
        }
        Ok(if bytes.is_empty() { None } else { Some(bytes) })
    }

    /// Carries out a COPY from us with rows that somebody else reads. Says how many rows the server took.
    pub(crate) async fn copy_through(&mut self, sql: &str, rows: &mut dyn RawRows) -> Result<Result<u64, WireError>> {
        self.connected().await?;
        self.in_call = true;
        let answer = match &mut self.connection {
            Some(connection) => {
                let watched = Watched::over(connection, (&self.settings, &self.env), self.pid);
                passed_on(connection, &watched, sql, rows).await?
            }
            None => Err(WireError::Closed),
        };
        Ok(self.after(answer))
    }

    /// A connection for what only those answer that can stream.
    pub(crate) async fn replication(&self) -> Result<Connection> {
        let opened = Connection::open(&self.settings, Purpose::Replication, &self.env).await;
        opened.map_err(|error| explain(error, &self.shown))
    }

    /// The next statement begins with a new connection; an open transaction is given up.
    pub(crate) fn give_up(&mut self) {
        self.connection = None;
        self.in_call = false;
    }
}

/// Passes rows on. The server is not watched while it waits for whoever reads them.
async fn passed_on(
    connection: &mut Connection,
    watched: &Watched<'_>,
    sql: &str,
    rows: &mut dyn RawRows,
) -> Result<Result<u64, WireError>> {
    if let Err(error) = watched.during(connection.begin_copy_in(sql)).await {
        return Ok(Err(error));
    }
    while let Some(bytes) = rows.next().await? {
        if let Err(error) = watched.during(connection.send_copy(&bytes)).await {
            return Ok(Err(error));
        }
    }
    Ok(watched.during(connection.end_copy_in()).await)
}

/// Whether there may be more.
async fn gathered(connection: &mut Connection, bytes: &mut Vec<u8>, at_least: usize) -> Result<bool, WireError> {
    while bytes.len() < at_least {
        match connection.copied().await? {
            Some(piece) => bytes.extend_from_slice(&piece),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// More than this is not read away: a new connection costs less.
const READ_AWAY_BYTES_MAX: usize = 4 << 20;

/// Whether everything was read, so that the connection is free again.
async fn copied(
    connection: &mut Connection,
    sql: &str,
    each: &mut impl FnMut(Bytes) -> bool,
) -> Result<bool, WireError> {
    connection.copy_out(sql).await?;
    let (mut goes_on, mut unread) = (true, 0);
    while let Some(line) = connection.copied().await? {
        if goes_on {
            goes_on = each(line);
            continue;
        }
        unread += line.len();
        if unread > READ_AWAY_BYTES_MAX {
            return Ok(false);
        }
    }
    Ok(true)
}

//! A connection that answers statements: signed in, one statement after the other.
//!
//! Every method is cancel-safe: an answer that was not read to its end is read away before the next statement.

use super::copy::affected;
use super::error::{ServerError, WireError};
use super::message::{self, Message, tag};
use super::sign_in::{Purpose, sign_in};
use super::stream::Stream;
use crate::settings::Settings;
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidewater_core::env::Env;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a statement may answer: those that are asked here answer a few names and numbers.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How much is asked from the system at a time.
const READ_BYTES: usize = 64 << 10;

/// A connection, signed in.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    read: BytesMut,
    written: BytesMut,
    parameters: BTreeMap<String, String>,
    /// A statement was sent, and the server has not said yet that it is ready for the next.
    is_busy: bool,
    moved: Moved,
    env: Env,
}

/// How many bytes went over a connection, both ways. Others may look while a call waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moved(Arc<AtomicU64>);

impl Moved {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What a statement answered: its last set of rows, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows the last statement touched, or found.
    pub affected: u64,
}

impl Rows {
    /// The value of a column in the first row.
    pub fn first(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.rows.first()?.get(at)?.as_deref()
    }
}

impl Connection {
    /// Connects and signs in, within the time that the settings allow.
    pub async fn open(settings: &Settings, purpose: Purpose, env: &Env) -> Result<Self, WireError> {
        let opening = async {
            let stream = Stream::open(settings).await?;
            let (read, written) = (BytesMut::new(), BytesMut::new());
            let (parameters, is_busy) = (BTreeMap::new(), false);
            let (moved, env) = (Moved::default(), env.clone());
            let mut connection = Self { stream, read, written, parameters, is_busy, moved, env };
            sign_in(&mut connection, settings, purpose).await?;
            Ok(connection)
        };
        tokio::select! {
            opened = opening => opened,
            () = env.clock.sleep(settings.connect_timeout) => Err(WireError::Timeout(settings.connect_timeout)),
        }
    }

    /// Whether nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    /// See [`Stream::gather_what_comes`].
    pub(super) fn gather_what_comes(&self) -> Result<(), WireError> {
        self.stream.gather_what_comes().map_err(WireError::io("preparing a stream"))
    }

    /// A setting that the server reports by itself: `server_version`, `server_encoding`, …
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The major version of the server; 0 where it does not say.
    pub fn major_version(&self) -> u32 {
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        self.parameter("server_version").and_then(|text| digits(text).parse().ok()).unwrap_or(0)
    }

    /// Runs statements; the rows are those of the last one that has any. An error ends them.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, WireError> {
        self.send_query(sql).await?;
        let mut answer = Rows::default();
        let (mut bytes, mut failed) = (0, None);
        loop {
            let Message { tag, body } = self.message_or_error().await?;
            bytes += body.len();
            match tag {
                tag::READY => {
                    self.is_busy = false;
                    return failed.map_or(Ok(answer), Err);
                }
                // What went wrong is known at once, but the server says more before it is ready again, if it lives.
                tag::ERROR => {
                    let error = ServerError::read(body)?;
                    let is_last = error.severity != "ERROR";
                    let error = WireError::Server(Box::new(error));
                    if is_last {
                        return Err(error);
                    }
                    failed = Some(error);
                }
                _ if failed.is_some() => {}
                _ if bytes > ANSWER_BYTES_MAX => failed = Some(WireError::TooLong(ANSWER_BYTES_MAX)),
                tag::ROWS => answer = Rows { columns: message::names(body)?, ..Rows::default() },
                tag::ROW => answer.rows.push(message::row(body)?),
                tag::COMPLETE => answer.affected = affected(&body),
                tag::EMPTY | tag::NOTICE => {}
                _ => return Err(unexpected(tag, "an answer")),
            }
        }
    }

    /// Says goodbye. Dropping a connection ends it too, and leaves the server to notice.
    pub async fn close(mut self) -> Result<(), WireError> {
        frontend::terminate(&mut self.written);
        self.flush().await?;
        self.stream.shutdown().await.map_err(WireError::io("closing the connection"))
    }

    /// Sends statements, after what is left of an answer that nobody read to its end. Whoever calls reads what they answer.
    pub(crate) async fn send_query(&mut self, sql: &str) -> Result<(), WireError> {
        while self.is_busy {
            self.is_busy = self.message_or_error().await?.tag != tag::READY;
        }
        frontend::query(sql, &mut self.written).map_err(WireError::io("a statement"))?;
        self.is_busy = true;
        self.flush().await
    }

    /// What went over this connection so far.
    pub(crate) fn moved(&self) -> Moved {
        self.moved.clone()
    }

    /// The server is ready for the next statement, or not.
    pub(super) fn set_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    /// What will be sent with the next [`Connection::flush`].
    pub(super) fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.written
    }

    /// Sends what is to be sent. Cancel-safe: what was not sent yet is sent by the next call.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        while !self.written.is_empty() {
            let sent = self.stream.write_buf(&mut self.written).await.map_err(WireError::io("sending"))?;
            if sent == 0 {
                return Err(WireError::Closed);
            }
            self.moved.add(sent);
        }
        self.stream.flush().await.map_err(WireError::io("sending"))
    }

    /// The next message; an error of the server is an error here. Cancel-safe.
    pub(super) async fn message(&mut self) -> Result<Message, WireError> {
        let message = self.message_or_error().await?;
        if message.tag == tag::ERROR {
            return Err(WireError::Server(Box::new(ServerError::read(message.body)?)));
        }
        Ok(message)
    }

    /// A message that has come already; an error of the server is an error here.
    pub(super) fn buffered(&mut self) -> Result<Option<Message>, WireError> {
        match self.taken()? {
            Some(message) if message.tag == tag::ERROR => {
                Err(WireError::Server(Box::new(ServerError::read(message.body)?)))
            }
            other => Ok(other),
        }
    }

    fn taken(&mut self) -> Result<Option<Message>, WireError> {
        while let Some(message) = message::take(&mut self.read)? {
            match message.tag {
                tag::PARAMETER => {
                    let mut body = message.body;
                    let name = message::text(&mut body)?;
                    self.parameters.insert(name, message::text(&mut body)?);
                }
                tag::NOTIFICATION => {}
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// The next message. What servers say unasked is kept or passed over. Cancel-safe.
    pub(super) async fn message_or_error(&mut self) -> Result<Message, WireError> {
        loop {
            if let Some(message) = self.taken()? {
                return Ok(message);
            }
            self.read.reserve(READ_BYTES);
            let received = self.stream.read_buf(&mut self.read).await.map_err(WireError::io("receiving"))?;
            if received == 0 {
                return Err(WireError::Closed);
            }
            self.moved.add(received);
        }
    }
}

pub(super) fn unexpected(tag: u8, during: &str) -> WireError {
    WireError::protocol(format!("message {:?} during {during}", char::from(tag)))
}

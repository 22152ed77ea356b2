//! A stream of changes: what the server sends of its log, and what we tell it about how far we have come.
//!
//! Contract. Only what a caller confirmed is ever told to the server as written, flushed or applied; places never go
//! back. The server is told by time and whenever it asks, for as long as somebody waits in [`ReplicationStream::next`]
//! or calls [`ReplicationStream::keep_alive`]. Every method is cancel-safe. Tests: `tests/it/streaming.rs`.

use super::connection::{Connection, unexpected};
use super::error::WireError;
use super::message::{Message, array, tag};
use super::slot::{quoted_name, quoted_text};
use crate::lsn::Lsn;
use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::message::frontend::{self, CopyData};
use std::time::Duration;

/// What is asked of `pgoutput`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whose tables; one name at least.
    pub publications: Vec<String>,
    /// Of the protocol, 1 to 4; see [`StreamOptions::newest_version`].
    pub version: u8,
    /// Values in the form that types send them in, not as text.
    pub binary: bool,
    /// Whether large transactions come before they are committed.
    pub streaming: Streaming,
    /// Whether messages come that programs put into the log.
    pub messages: bool,
    /// Only what was written here, not what replication wrote. From PostgreSQL 16 on.
    pub only_local: bool,
}

/// Whether large transactions come before they are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// Each comes whole, when it is committed.
    Off,
    /// In parts, from version 2 on.
    On,
    /// The same; what is rolled back is told with its place. From version 4 on.
    Parallel,
}

impl StreamOptions {
    /// Text, in the newest version that a server knows, large transactions in parts.
    pub fn new(publications: impl IntoIterator<Item = impl Into<String>>, major_version: u32) -> Self {
        let version = Self::newest_version(major_version);
        let streaming = match version {
            1 => Streaming::Off,
            2 | 3 => Streaming::On,
            _ => Streaming::Parallel,
        };
        let publications = publications.into_iter().map(Into::into).collect();
        Self { publications, version, binary: false, streaming, messages: version > 1, only_local: false }
    }

    /// The newest version of the protocol that a server knows, by its major version.
    pub fn newest_version(major_version: u32) -> u8 {
        match major_version {
            0..=13 => 1,
            14 => 2,
            15 => 3,
            _ => 4,
        }
    }

    fn command(&self, slot: &str, start: Lsn) -> String {
        let names: Vec<String> = self.publications.iter().map(|name| quoted_name(name)).collect();
        let mut options = vec![
            format!("proto_version '{}'", self.version),
            format!("publication_names {}", quoted_text(&names.join(","))),
        ];
        if self.binary {
            options.push("binary 'true'".to_owned());
        }
        match self.streaming {
            Streaming::Off => {}
            Streaming::On => options.push("streaming 'on'".to_owned()),
            Streaming::Parallel => options.push("streaming 'parallel'".to_owned()),
        }
        if self.messages {
            options.push("messages 'true'".to_owned());
        }
        if self.only_local {
            options.push("origin 'none'".to_owned());
        }
        format!("START_REPLICATION SLOT {} LOGICAL {start} ({})", quoted_name(slot), options.join(", "))
    }
}

/// How often the server hears from us, and how long it may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Between two reports of how far we have come. The server gives up after `wal_sender_timeout`, 60 s by default.
    pub report_every: Duration,
    /// After a question that the server does not answer, the connection is taken for dead.
    pub silence_max: Duration,
}

impl Pulse {
    /// So that a dead network is noticed within `limit`.
    pub fn within(limit: Duration) -> Self {
        let report_every = (limit / 3).min(Self::default().report_every);
        Self { report_every, silence_max: limit - report_every }
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self { report_every: Duration::from_secs(10), silence_max: Duration::from_secs(60) }
    }
}

/// How often a waiting stream looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Before each message: a tag, its length, what kind it is, two places in the log and a time.
const HEADER_BYTES: usize = 1 + 4 + 1 + 8 + 8 + 8;
/// From 1970, where our clock begins, to 2000, where the server's does.
const EPOCH_MS: i64 = 946_684_800_000;

/// One thing that a stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message of `pgoutput`.
    Changes {
        /// Where it lies in the log.
        start: Lsn,
        /// How far the server's log had come.
        end: Lsn,
        /// When it was sent: microseconds since 2000.
        sent_at: i64,
        /// The message.
        data: Bytes,
    },
    /// A sign of life: everything up to here was sent. Where nothing before it waits any more, it is to be confirmed,
    /// or a server where nothing happens to our tables keeps its log for ever.
    Alive {
        /// How far the server has read its log.
        end: Lsn,
        /// When it was sent: microseconds since 2000.
        sent_at: i64,
    },
    /// The server ends the stream: it shuts down. It does so only once everything that it sent is confirmed as
    /// written, so whoever never confirms keeps it from shutting down.
    Ended,
}

impl Frame {
    /// How much of the stream it is.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Changes { data, .. } => HEADER_BYTES + data.len(),
            Self::Alive { .. } | Self::Ended => HEADER_BYTES,
        }
    }
}

/// A running stream.
#[derive(Debug)]
pub struct ReplicationStream {
    connection: Connection,
    pulse: Pulse,
    written: Lsn,
    flushed: Lsn,
    applied: Lsn,
    /// Readings of the clock.
    report_due: Duration,
    heard: Duration,
    /// The server was asked for a sign of life then, and has sent nothing since.
    asked: Option<Duration>,
}

impl Connection {
    /// Streams the changes of a slot, from `start` or from where the slot was last confirmed, whichever is later.
    pub async fn start_replication(
        mut self,
        slot: &str,
        start: Lsn,
        options: &StreamOptions,
        pulse: Pulse,
    ) -> Result<ReplicationStream, WireError> {
        let clock = self.env().clock.clone();
        let command = options.command(slot, start);
        self.gather_what_comes()?;
        tokio::select! {
            begun = self.begin(&command) => begun?,
            () = clock.sleep(pulse.silence_max) => return Err(WireError::Silent(pulse.silence_max)),
        }
        let now = self.env().clock.monotonic();
        let (written, flushed, applied) = (Lsn(0), Lsn(0), Lsn(0));
        let report_due = now + pulse.report_every;
        Ok(ReplicationStream {
            connection: self,
            pulse,
            written,
            flushed,
            applied,
            report_due,
            heard: now,
            asked: None,
        })
    }

    async fn begin(&mut self, command: &str) -> Result<(), WireError> {
        self.send_query(command).await?;
        loop {
            match self.message().await?.tag {
                tag::COPY_BOTH => return Ok(()),
                tag::NOTICE => {}
                other => return Err(unexpected(other, "the start of a stream")),
            }
        }
    }
}

impl ReplicationStream {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Result<Frame, WireError> {
        loop {
            self.keep_alive().await?;
            let (clock, patience) = (self.connection.env().clock.clone(), self.patience());
            let message = tokio::select! {
                biased;
                message = self.connection.message() => message?,
                () = clock.sleep(patience) => {
                    self.check_silence()?;
                    continue;
                }
            };
            self.heard = self.now();
            self.asked = None;
            if let Some(frame) = self.take(message)? {
                return Ok(frame);
            }
        }
    }

    /// What has come already, without waiting for more.
    pub fn buffered(&mut self) -> Result<Option<Frame>, WireError> {
        while let Some(message) = self.connection.buffered()? {
            if let Some(frame) = self.take(message)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Tells the server how far we have come, at once. Only what is `flushed` may the server forget.
    pub async fn confirm(&mut self, written: Lsn, flushed: Lsn, applied: Lsn) -> Result<(), WireError> {
        self.written = self.written.max(written);
        self.flushed = self.flushed.max(flushed);
        self.applied = self.applied.max(applied);
        self.report(false)?;
        self.send().await
    }

    /// Tells the server that we are there, where it is time. For callers that do not wait for changes just now.
    pub async fn keep_alive(&mut self) -> Result<(), WireError> {
        let now = self.now();
        if now >= self.report_due {
            let is_silent = now.saturating_sub(self.heard) >= self.pulse.report_every;
            if is_silent && self.asked.is_none() {
                self.asked = Some(now);
            }
            self.report(is_silent)?;
        }
        self.send().await
    }

    /// Asks the server how far it has read its log; it answers with [`Frame::Alive`]. For callers that wait for it: one
    /// that never answers is taken for dead here, too, however often it is asked.
    pub async fn ask(&mut self) -> Result<(), WireError> {
        self.asked = self.asked.or(Some(self.now()));
        self.check_silence()?;
        self.report(true)?;
        self.send().await
    }

    /// Sends what is to be sent. A peer that takes nothing for long is taken for dead.
    async fn send(&mut self) -> Result<(), WireError> {
        let clock = self.connection.env().clock.clone();
        tokio::select! {
            biased;
            sent = self.connection.flush() => sent,
            () = clock.sleep(self.pulse.silence_max) => Err(WireError::Silent(self.pulse.silence_max)),
        }
    }

    /// Ends the stream in order. The connection can be used for statements again.
    pub async fn stop(mut self) -> Result<Connection, WireError> {
        frontend::copy_done(self.connection.outgoing());
        self.connection.flush().await?;
        loop {
            match self.connection.message().await?.tag {
                // What was on its way; it comes again where it was not confirmed.
                tag::COPY_DATA | tag::COPY_DONE | tag::COMPLETE | tag::NOTICE => {}
                tag::READY => {
                    self.connection.set_busy(false);
                    return Ok(self.connection);
                }
                other => return Err(unexpected(other, "the end of a stream")),
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Frame>, WireError> {
        match message.tag {
            tag::COPY_DATA => {}
            // A server that shuts down completes the command without an end of its own.
            tag::COPY_DONE | tag::COMPLETE => return Ok(Some(Frame::Ended)),
            tag::NOTICE => return Ok(None),
            other => return Err(unexpected(other, "a stream")),
        }
        let mut body = message.body;
        match array(&mut body)? {
            [b'w'] => {
                let start = Lsn(u64::from_be_bytes(array(&mut body)?));
                let end = Lsn(u64::from_be_bytes(array(&mut body)?));
                let sent_at = i64::from_be_bytes(array(&mut body)?);
                Ok(Some(Frame::Changes { start, end, sent_at, data: body }))
            }
            [b'k'] => {
                let end = Lsn(u64::from_be_bytes(array(&mut body)?));
                let sent_at = i64::from_be_bytes(array(&mut body)?);
                if array(&mut body)? != [0] {
                    self.report(false)?;
                }
                Ok(Some(Frame::Alive { end, sent_at }))
            }
            [other] => Err(unexpected(other, "a stream, inside")),
        }
    }

    /// Puts a report where it will be sent from.
    fn report(&mut self, ask: bool) -> Result<(), WireError> {
        let mut report = BytesMut::with_capacity(34);
        report.put_u8(b'r');
        for place in [self.written, self.flushed, self.applied] {
            report.put_u64(place.0);
        }
        report.put_i64(self.connection.env().clock.now_ms().saturating_sub(EPOCH_MS).saturating_mul(1000));
        report.put_u8(u8::from(ask));
        let report = CopyData::new(report.freeze()).map_err(WireError::io("a report"))?;
        report.write(self.connection.outgoing());
        self.report_due = self.now() + self.pulse.report_every;
        Ok(())
    }

    /// How long to wait for the server before looking at the clock again.
    fn patience(&self) -> Duration {
        self.report_due.saturating_sub(self.now()).min(LOOK_EVERY)
    }

    /// Called after a wait that brought nothing, so that what came while nobody was reading counts.
    fn check_silence(&self) -> Result<(), WireError> {
        match self.asked {
            Some(asked) if self.now().saturating_sub(asked) >= self.pulse.silence_max => {
                Err(WireError::Silent(self.now().saturating_sub(self.heard)))
            }
            _ => Ok(()),
        }
    }

    fn now(&self) -> Duration {
        self.connection.env().clock.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_publications_are_quoted_twice() {
        let mut options = StreamOptions::new(["a'b", "c\"d"], 18);
        options.binary = true;
        let wanted = "START_REPLICATION SLOT \"s\" LOGICAL 1/2 (proto_version '4', \
                      publication_names '\"a''b\",\"c\"\"d\"', binary 'true', streaming 'parallel', messages 'true')";
        assert_eq!(options.command("s", Lsn(1 << 32 | 2)), wanted);
        let oldest = StreamOptions::new(["p"], 13).command("s", Lsn(0));
        assert!(oldest.ends_with("(proto_version '1', publication_names '\"p\"')"), "{oldest}");
    }
}

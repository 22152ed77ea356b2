//! What can go wrong on a connection, in kinds that a caller decides by.

use crate::settings::SettingsError;
use bytes::{Buf, Bytes};
use std::fmt;
use std::time::Duration;

/// An error of a connection. Messages hold no passwords.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The network or the socket failed.
    #[error("{during}: {source}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The other side went away in the middle of something.
    #[error("the server closed the connection")]
    Closed,
    /// Encryption was asked for and cannot be had.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server let nobody in, or asked for what we do not give.
    #[error("signing in: {0}")]
    SignIn(String),
    /// What the server answered to something that we asked.
    #[error(transparent)]
    Server(#[from] Box<ServerError>),
    /// The server sent what the protocol does not allow.
    #[error("the server does not keep to the protocol: {0}")]
    Protocol(String),
    /// An answer is longer than anything that we ask for.
    #[error("an answer is longer than {0} bytes")]
    TooLong(usize),
    /// Connecting took too long.
    #[error("no connection within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A stream brought nothing, not even a sign of life.
    #[error("the server was silent for {} s", .0.as_secs())]
    Silent(Duration),
}

impl WireError {
    pub(crate) fn io(during: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io { during, source },
        }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    /// What the server answered, where it did.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same may succeed a little later, with nothing changed by a person.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Closed | Self::Timeout(_) | Self::Silent(_) => true,
            Self::Server(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// An error that the server reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// Five letters and digits: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    pub sqlstate: String,
    /// What happened.
    pub message: String,
    /// More about it; may hold values of rows.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl ServerError {
    /// The slot is used by another connection, perhaps one of ours that the server has not missed yet.
    pub const SLOT_ACTIVE: &'static str = "55006";
    /// There is no such slot, table or publication.
    pub const UNDEFINED_OBJECT: &'static str = "42704";
    /// There is one already.
    pub const DUPLICATE_OBJECT: &'static str = "42710";
    /// What the slot stands at is no longer there.
    pub const NOT_IN_STATE: &'static str = "55000";

    /// Whether the same may succeed a little later: the slot is in use, the server starts, stops or is full.
    pub fn is_retryable(&self) -> bool {
        let state = self.sqlstate.as_str();
        // Connection trouble, transactions to be repeated, no more resources of a kind that comes back.
        let by_class = ["08", "40", "53"].iter().any(|class| state.starts_with(class));
        let single = [Self::SLOT_ACTIVE, "57P01", "57P02", "57P03", "57P05", "55P03", "25P03", "25P04"];
        (by_class && state != "53100") || single.contains(&state)
    }

    /// Reads the fields of an error or a notice.
    pub(crate) fn read(mut body: Bytes) -> Result<Self, WireError> {
        let mut error = Self::default();
        loop {
            if !body.has_remaining() {
                return Err(WireError::protocol("an error without an end"));
            }
            let field = body.get_u8();
            if field == 0 {
                return Ok(error);
            }
            let text = super::message::text(&mut body)?;
            match field {
                // Untranslated; before 9.6 there is only the translated one.
                b'V' => error.severity = text,
                b'S' if error.severity.is_empty() => error.severity = text,
                b'C' => error.sqlstate = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
    }
}

impl std::error::Error for ServerError {}

impl fmt::Display for ServerError {
    /// Without the detail, which may hold values of rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.sqlstate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_server_are_read() {
        let body = b"SFEHLER\0VERROR\0C55006\0Mslot is active\0Dby 7\0Htry\0Fx.c\0\0";
        let error = ServerError::read(Bytes::from_static(body)).unwrap();
        assert_eq!((error.severity.as_str(), error.sqlstate.as_str()), ("ERROR", ServerError::SLOT_ACTIVE));
        assert_eq!((error.detail.as_deref(), error.hint.as_deref()), (Some("by 7"), Some("try")));
        assert_eq!(error.to_string(), "slot is active (55006)");
        for cut in 0..body.len() {
            assert!(ServerError::read(Bytes::copy_from_slice(&body[..cut])).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_passes_is_tried_again() {
        for (state, wanted) in [
            ("55006", true),
            ("57P03", true),
            ("57P01", true),
            ("53300", true),
            ("25P03", true),
            ("08006", true),
            ("40001", true),
            ("53100", false),
            ("42704", false),
            ("28P01", false),
            ("", false),
        ] {
            let error = ServerError { sqlstate: state.to_owned(), ..ServerError::default() };
            assert_eq!(error.is_retryable(), wanted, "{state}");
            assert_eq!(WireError::from(Box::new(error)).is_retryable(), wanted);
        }
        assert!(WireError::Closed.is_retryable() && !WireError::Tls(String::new()).is_retryable());
    }
}

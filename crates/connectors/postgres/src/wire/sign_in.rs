//! Signing in: the first message, and what the server asks then.
//!
//! Invariants: a password crosses the wire in clear only inside TLS; after SCRAM has begun, the server is believed only
//! once it has proved that it knows the password too.

use super::connection::Connection;
use super::error::WireError;
use super::message::{Message, array, tag, text};
use crate::settings::Settings;
use bytes::Bytes;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Statements.
    Sql,
    /// Statements, slots and streams of changes.
    Replication,
}

/// Settings of the session under which text has one form, whatever the server, database or role have set.
const SESSION: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];

/// Says who we are and answers what is asked, until the server is ready.
pub(super) async fn sign_in(
    connection: &mut Connection,
    settings: &Settings,
    purpose: Purpose,
) -> Result<(), WireError> {
    let mut parameters = vec![
        ("user", settings.user.as_str()),
        ("database", &settings.database),
        ("application_name", &settings.application_name),
    ];
    parameters.extend(SESSION);
    // As long as the server does not miss us, nobody else can read the slot, nor can we over another connection.
    let missed_after = settings.network_timeout.as_millis().to_string();
    if purpose == Purpose::Replication {
        parameters.extend([("replication", "database"), ("wal_sender_timeout", missed_after.as_str())]);
    }
    frontend::startup_message(parameters, connection.outgoing()).map_err(WireError::io("signing in"))?;
    connection.flush().await?;
    let mut asked = Asked::default();
    loop {
        let Message { tag, mut body } = connection.message().await?;
        match tag {
            tag::AUTHENTICATION => {
                let kind = u32::from_be_bytes(array(&mut body)?);
                answer(connection, settings, &mut asked, kind, body)?;
                connection.flush().await?;
            }
            tag::READY if asked.done => return Ok(()),
            tag::KEY_DATA | tag::NOTICE if asked.done => {}
            tag::NOTICE => {}
            _ => return Err(WireError::protocol(format!("message {:?} while signing in", char::from(tag)))),
        }
    }
}

/// How far the server has come with its questions.
#[derive(Default)]
struct Asked {
    scram: Option<ScramSha256>,
    /// It has proved that it knows the password.
    proved: bool,
    done: bool,
}

fn answer(
    connection: &mut Connection,
    settings: &Settings,
    asked: &mut Asked,
    kind: u32,
    mut body: Bytes,
) -> Result<(), WireError> {
    if asked.done {
        return Err(WireError::protocol("a question after we were let in"));
    }
    let failed = |error: std::io::Error| WireError::SignIn(error.to_string());
    match kind {
        0 if asked.scram.is_some() && !asked.proved => {
            return Err(WireError::SignIn("the server did not prove that it knows the password".to_owned()));
        }
        0 => asked.done = true,
        3 if !connection.is_encrypted() => {
            let what = "the server asks for the password in clear, which is given over TLS only";
            return Err(WireError::SignIn(what.to_owned()));
        }
        3 => {
            let password = password(settings)?;
            frontend::password_message(password.as_bytes(), connection.outgoing()).map_err(failed)?;
        }
        5 => {
            let hash = md5_hash(settings.user.as_bytes(), password(settings)?.as_bytes(), array(&mut body)?);
            frontend::password_message(hash.as_bytes(), connection.outgoing()).map_err(failed)?;
        }
        10 => begin_scram(connection, settings, asked, body)?,
        11 => {
            let scram = asked.scram.as_mut().ok_or_else(|| WireError::protocol("SCRAM goes on before it began"))?;
            scram.update(&body).map_err(failed)?;
            frontend::sasl_response(scram.message(), connection.outgoing()).map_err(failed)?;
        }
        12 => {
            let scram = asked.scram.as_mut().filter(|_| !asked.proved);
            scram.ok_or_else(|| WireError::protocol("SCRAM ends before it began"))?.finish(&body).map_err(failed)?;
            asked.proved = true;
        }
        _ => {
            let what = "the server asks for a way to sign in that is not known here; \
                        known are SCRAM-SHA-256, MD5, a password over TLS, and trust";
            return Err(WireError::SignIn(what.to_owned()));
        }
    }
    Ok(())
}

fn begin_scram(
    connection: &mut Connection,
    settings: &Settings,
    asked: &mut Asked,
    mut body: Bytes,
) -> Result<(), WireError> {
    if asked.scram.is_some() {
        return Err(WireError::protocol("SCRAM begins twice"));
    }
    let mut offered = Vec::new();
    while body.first().is_some_and(|byte| *byte != 0) {
        offered.push(text(&mut body)?);
    }
    if !offered.iter().any(|name| name == SCRAM_SHA_256) {
        return Err(WireError::SignIn(format!("the server offers only {}", offered.join(", "))));
    }
    let scram = ScramSha256::new(password(settings)?.as_bytes(), ChannelBinding::unsupported());
    let begun = frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), connection.outgoing());
    begun.map_err(|error| WireError::SignIn(error.to_string()))?;
    asked.scram = Some(scram);
    Ok(())
}

fn password(settings: &Settings) -> Result<String, WireError> {
    let found = settings.password()?.map(|password| password.reveal().to_owned());
    found.ok_or_else(|| {
        let what = "the server asks for a password, and there is none: set PGPASSWORD, or put a line for it into \
                    ~/.pgpass";
        WireError::SignIn(what.to_owned())
    })
}

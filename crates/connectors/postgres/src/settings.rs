//! How a server is reached: a `postgres://` URL, read strictly.
//!
//! Contract. Nothing here ever prints a password: not `Debug`, not an error, not [`Settings::shown`]. A password may
//! stand in the URL, but is better taken by reference: `PGPASSWORD`, or a password file (`PGPASSFILE`, `~/.pgpass`),
//! which is read when a server asks and refused while others may read it. An option that is not known is refused, so
//! that a misspelt one never weakens a connection. Tests: below, and `tests/it/connecting.rs`.

mod password;

pub(crate) use password::Password;

use password::from_file;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What the URL says, with what the environment adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the server is.
    pub host: Host,
    /// Its port; for a socket, the number in the socket's name.
    pub port: u16,
    /// Who connects.
    pub user: String,
    /// To which database.
    pub database: String,
    /// How the connection is protected; `None` decides by where it leads, see [`TlsMode`].
    pub tls: Option<TlsMode>,
    /// Whom a certificate must be signed by.
    pub roots: Roots,
    /// What the server shows in its lists of sessions.
    pub application_name: String,
    /// How long connecting may take, with signing in.
    pub connect_timeout: Duration,
    /// How long nothing may come over a connection that something is waited for on, before it is taken for dead.
    pub network_timeout: Duration,
    password: Option<Password>,
    password_file: Option<PathBuf>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Name(String),
    /// A folder with a Unix socket.
    Socket(PathBuf),
}

/// How a connection over TCP is protected. A Unix socket does not leave the machine and is never encrypted.
///
/// Where none is named: [`TlsMode::VerifyFull`], but [`TlsMode::Prefer`] for an address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    Disable,
    /// Encrypted where the server can. The certificate is verified in full, but not on this machine's own addresses.
    Prefer,
    /// Encrypted, without a look at the certificate: whoever is in between can read along.
    NoVerify,
    /// As [`TlsMode::VerifyFull`]: encryption to somebody unknown protects from nobody.
    Require,
    /// Encrypted, and the certificate is signed by `sslrootcert`; its name does not matter.
    VerifyCa,
    /// Encrypted, and the certificate is signed by somebody trusted, for this host.
    VerifyFull,
}

/// Whom a certificate must be signed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The authorities that browsers trust.
    Public,
    /// Those in a file.
    File(PathBuf),
}

/// A URL that cannot be used, in words without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that decodes a large transaction answers within half of `wal_sender_timeout`, which is 60 s by default.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(60);
const PORT: u16 = 5432;
/// Where Debian and most other systems have the socket.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

impl Settings {
    /// Reads a URL; what it leaves out comes from the environment, as for PostgreSQL's own programs.
    pub fn parse(url: &str) -> Result<Self, SettingsError> {
        Self::parse_in(url, |name| std::env::var(name).ok())
    }

    /// Reads a URL in an environment.
    pub fn parse_in(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut parts = Parts::default();
        parts.read(url)?;
        let number = |text: String| text.parse::<u16>().ok().filter(|port| *port > 0);
        let port = match parts.port.or_else(|| variable("PGPORT")) {
            Some(text) => number(text).ok_or_else(|| error("the port is not a number from 1 to 65535"))?,
            None => PORT,
        };
        let host = parts.host.or_else(|| variable("PGHOST")).unwrap_or_else(|| SOCKET_FOLDER.to_owned());
        let host = if host.starts_with('/') { Host::Socket(host.into()) } else { Host::Name(host) };
        let user = parts.user.or_else(|| variable("PGUSER")).or_else(|| variable("USER"));
        let user = user.ok_or_else(|| error("no user is named: write postgres://USER@HOST/DATABASE"))?;
        let home_file = || variable("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        let settings = Self {
            host,
            port,
            database: parts.database.or_else(|| variable("PGDATABASE")).unwrap_or_else(|| user.clone()),
            user,
            tls: parts.tls,
            roots: parts.roots.unwrap_or(Roots::Public),
            application_name: parts.application_name.unwrap_or_else(|| "tidewater".to_owned()),
            connect_timeout: parts.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            network_timeout: parts.network_timeout.unwrap_or(NETWORK_TIMEOUT),
            password: parts.password.or_else(|| variable("PGPASSWORD")).map(Password::new),
            password_file: variable("PGPASSFILE").map(PathBuf::from).or_else(home_file),
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if let Host::Name(host) = &self.host
            && host.contains(',')
        {
            return Err(error("several hosts are named: name one, the same database must be found each time"));
        }
        // These end a string in the protocol.
        if [&self.user, &self.database, &self.application_name].iter().any(|text| text.contains('\0')) {
            return Err(error("a name holds a zero byte"));
        }
        if self.tls == Some(TlsMode::VerifyCa) && self.roots == Roots::Public {
            return Err(error(
                "sslmode=verify-ca needs sslrootcert=FILE: anybody has a certificate of a public authority",
            ));
        }
        Ok(())
    }

    /// The URL for people, without a password.
    pub fn shown(&self) -> String {
        let host = match &self.host {
            Host::Name(name) if name.contains(':') => format!("[{name}]"),
            Host::Name(name) => name.clone(),
            Host::Socket(folder) => encoded(&folder.to_string_lossy()),
        };
        let port = if self.port == PORT { String::new() } else { format!(":{}", self.port) };
        format!("postgres://{}@{host}{port}/{}", encoded(&self.user), encoded(&self.database))
    }

    /// The URL as a command takes it: with the options that say how the connection is protected, without a password,
    /// which `PGPASSWORD` or a password file gives.
    pub fn typed(&self) -> String {
        let mut options = Vec::new();
        options.extend(self.tls.map(|mode| format!("sslmode={}", mode.word())));
        if let Roots::File(path) = &self.roots {
            options.push(format!("sslrootcert={}", encoded(&path.to_string_lossy())));
        }
        match options.is_empty() {
            true => self.shown(),
            false => format!("{}?{}", self.shown(), options.join("&")),
        }
    }

    /// The password, from wherever there is one. Reads the password file.
    pub(crate) fn password(&self) -> Result<Option<Password>, SettingsError> {
        match (&self.password, &self.password_file) {
            (Some(password), _) => Ok(Some(password.clone())),
            (None, Some(path)) => from_file(path, self),
            (None, None) => Ok(None),
        }
    }
}

/// What a URL holds, as far as it says.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    database: Option<String>,
    password: Option<String>,
    tls: Option<TlsMode>,
    roots: Option<Roots>,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    network_timeout: Option<Duration>,
}

impl Parts {
    fn read(&mut self, url: &str) -> Result<(), SettingsError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| error("a PostgreSQL URL begins with postgres://"))?;
        let (rest, options) = rest.split_once('?').map_or((rest, ""), |(rest, options)| (rest, options));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user.split_once(':').map_or((user, ""), |(user, password)| (user, password));
        let (host, port) = match host.strip_prefix('[').map(|host| host.split_once(']')) {
            Some(Some((address, ""))) => (address, ""),
            Some(Some((address, port))) => (address, port.strip_prefix(':').unwrap_or("?")),
            Some(None) => return Err(error("an address in brackets is not closed")),
            None => host.split_once(':').unwrap_or((host, "")),
        };
        for (field, text, what) in [
            (&mut self.host, host, "host"),
            (&mut self.port, port, "port"),
            (&mut self.user, user, "user"),
            (&mut self.password, password, "password"),
            (&mut self.database, database, "database"),
        ] {
            if !text.is_empty() {
                *field = Some(decoded(text, what)?);
            }
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            self.option(name, decoded(value, "value of an option")?)?;
        }
        Ok(())
    }

    fn option(&mut self, name: &str, value: String) -> Result<(), SettingsError> {
        match name {
            "host" => self.host = Some(value),
            "port" => self.port = Some(value),
            "user" => self.user = Some(value),
            "dbname" => self.database = Some(value),
            "password" => self.password = Some(value),
            "application_name" => self.application_name = Some(value),
            "sslmode" => self.tls = Some(tls_mode(&value)?),
            "sslrootcert" if value == "system" => self.roots = Some(Roots::Public),
            "sslrootcert" => self.roots = Some(Roots::File(value.into())),
            "connect_timeout" => self.connect_timeout = Some(seconds(name, &value, 1)?),
            "network_timeout" => self.network_timeout = Some(seconds(name, &value, 3)?),
            _ => {
                return Err(error(&format!(
                    "the option {name} is not known; known are host, port, user, dbname, password, sslmode, \
                     sslrootcert, application_name, connect_timeout, network_timeout"
                )));
            }
        }
        Ok(())
    }
}

impl TlsMode {
    const ALL: [Self; 6] =
        [Self::Disable, Self::Prefer, Self::NoVerify, Self::Require, Self::VerifyCa, Self::VerifyFull];

    /// As `sslmode` names it.
    pub fn word(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Prefer => "prefer",
            TlsMode::NoVerify => "no-verify",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        }
    }
}

fn tls_mode(word: &str) -> Result<TlsMode, SettingsError> {
    TlsMode::ALL.into_iter().find(|mode| mode.word() == word).ok_or_else(|| {
        let known = TlsMode::ALL.map(TlsMode::word).join(", ");
        error(&format!("this sslmode is not known; known are {known}"))
    })
}

fn seconds(name: &str, value: &str, least: u64) -> Result<Duration, SettingsError> {
    let seconds = value.parse::<u64>().ok().filter(|seconds| (least..=3600).contains(seconds));
    let wrong = || error(&format!("{name} is not a number of seconds, {least} to 3600"));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

fn error(what: &str) -> SettingsError {
    SettingsError(what.to_owned())
}

/// Percent-decoding; `what` is for the error, which must not repeat a secret.
fn decoded(text: &str, what: &str) -> Result<String, SettingsError> {
    let wrong = || error(&format!("the {what} is not percent-encoded UTF-8: write a plain % as %25"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(wrong()) };
        bytes.push((high * 16 + low) as u8);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte))
        } else {
            out += &format!("%{byte:02X}")
        }
        out
    })
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::NoVerify => "no-verify",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Settings, SettingsError> {
        Settings::parse_in(url, |_| None)
    }

    #[test]
    fn urls_are_read() {
        let full = "postgresql://an%40a:p%2Fw:%C3%A9@db.example.org:6543/my%20shop?sslmode=verify-ca&\
                    sslrootcert=%2Fca.pem&application_name=x&connect_timeout=3";
        let found = read(full).unwrap();
        assert_eq!(found.host, Host::Name("db.example.org".to_owned()));
        assert_eq!((found.port, found.user.as_str(), found.database.as_str()), (6543, "an@a", "my shop"));
        assert_eq!(found.tls, Some(TlsMode::VerifyCa));
        assert_eq!(found.roots, Roots::File("/ca.pem".into()));
        assert_eq!((found.application_name.as_str(), found.connect_timeout.as_secs()), ("x", 3));
        assert_eq!(found.password().unwrap().unwrap().reveal(), "p/w:é");
        assert_eq!(found.shown(), "postgres://an%40a@db.example.org:6543/my%20shop");

        let short = read("postgres://ana@localhost").unwrap();
        assert_eq!((short.port, short.database.as_str(), short.tls), (5432, "ana", None));
        assert_eq!(read("postgres://ana@[::1]:1/x").unwrap().host, Host::Name("::1".to_owned()));
        assert_eq!(read("postgres://ana@[::1]:1/x").unwrap().shown(), "postgres://ana@[::1]:1/x");
        let socket = Host::Socket("/run/pg".into());
        assert_eq!(read("postgres://ana@%2Frun%2Fpg/x").unwrap().host, socket);
        assert_eq!(read("postgres:///x?host=/run/pg&user=ana").unwrap().host, socket);
    }

    #[test]
    fn the_environment_adds_what_is_missing() {
        let variable = |name: &str| {
            let value = match name {
                "PGHOST" => "db",
                "PGPORT" => "7",
                "PGUSER" => "ana",
                "PGDATABASE" => "shop",
                "PGPASSWORD" => "secret",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let found = Settings::parse_in("postgres://", variable).unwrap();
        assert_eq!(found.shown(), "postgres://ana@db:7/shop");
        assert_eq!(found.password().unwrap().unwrap().reveal(), "secret");
        let named = Settings::parse_in("postgres://bo@there:8/x", variable).unwrap();
        assert_eq!(named.shown(), "postgres://bo@there:8/x");
    }

    #[test]
    fn wrong_urls_are_refused_without_their_secrets() {
        for (url, says) in [
            ("mysql://ana:secret@h/x", "begins with postgres://"),
            ("postgres://ana:secret%@h/x", "the password is not percent-encoded"),
            ("postgres://ana:secret%ff@h/x", "the password is not percent-encoded"),
            ("postgres://ana:secret@h:0/x", "port"),
            ("postgres://ana:secret@h:x/x", "port"),
            ("postgres://ana:secret@[::1/x", "brackets"),
            ("postgres://ana:secret@[::1]5/x", "port"),
            ("postgres://ana:secret@a,b/x", "several hosts"),
            ("postgres://ana:secret@h/x?sslmod=require", "sslmod is not known"),
            ("postgres://ana:secret@h/x?sslmode=on", "sslmode is not known"),
            ("postgres://ana:secret@h/x?sslmode=verify-ca", "needs sslrootcert"),
            ("postgres://ana:secret@h/x%00?sslmode=disable", "zero byte"),
            ("postgres://ana:secret@h/x?connect_timeout=0", "connect_timeout"),
            ("postgres://ana:secret@h/x?network_timeout=2", "network_timeout"),
            ("postgres://:secret@h/x", "no user is named"),
        ] {
            let said = read(url).unwrap_err().to_string();
            assert!(said.contains(says) && !said.contains("secret"), "{url}: {said}");
        }
    }

    #[test]
    fn nothing_prints_a_password() {
        let found = read("postgres://ana:secret@h/x").unwrap();
        assert!(!format!("{found:?} {found:#?} {}", found.shown()).contains("secret"));
    }
}

//! The bytes of a connection: TCP, TLS over it, or a Unix socket.

use super::error::WireError;
use super::tls;
use crate::settings::{Host, Settings, TlsMode};
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// So much of a stream may come from this machine and not have been read.
const UNREAD_BYTES: usize = 128 << 10;

/// An open connection to a server, encrypted where the settings ask for it. Nothing was said yet but that.
#[derive(Debug)]
pub enum Stream {
    /// TCP without encryption.
    Tcp(TcpStream),
    /// A socket of this machine.
    Unix(UnixStream),
    /// TCP, encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Opens a connection as the settings say; see [`TlsMode`] for what is verified. Has no time limit of its own.
    pub async fn open(settings: &Settings) -> Result<Self, WireError> {
        let host = match &settings.host {
            Host::Socket(folder) => return unix(folder, settings.port).await,
            Host::Name(host) => host.as_str(),
        };
        let tcp = TcpStream::connect((host, settings.port)).await.map_err(WireError::io("connecting"))?;
        tcp.set_nodelay(true).map_err(WireError::io("connecting"))?;
        notice_dead_network(&tcp, settings.network_timeout).map_err(WireError::io("connecting"))?;
        let is_here = tcp.peer_addr().is_ok_and(|address| address.ip().is_loopback());
        let mode = settings.tls.unwrap_or(if is_here { TlsMode::Prefer } else { TlsMode::VerifyFull });
        if mode == TlsMode::Disable {
            return Ok(Self::Tcp(tcp));
        }
        let trust = match mode {
            TlsMode::NoVerify => tls::Trust::Anybody,
            TlsMode::Prefer if is_here => tls::Trust::Anybody,
            TlsMode::VerifyCa => tls::Trust::AnyName,
            _ => tls::Trust::Verified,
        };
        match ask_for_tls(tcp).await? {
            Answer::Yes(tcp) => {
                let encrypted = tls::handshake(tcp, host, trust, &settings.roots).await?;
                Ok(Self::Tls(Box::new(encrypted)))
            }
            Answer::No(tcp) if mode == TlsMode::Prefer => Ok(Self::Tcp(tcp)),
            Answer::No(_) => Err(WireError::Tls(no_tls(settings, mode))),
        }
    }

    /// Lets little come unread from a server of this machine: what its system cannot send yet it packs together, and a
    /// server that writes many small messages is spared the work of sending each. Over a network that would slow it.
    pub(super) fn gather_what_comes(&self) -> io::Result<()> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Unix(_) => return Ok(()),
        };
        if tcp.peer_addr()?.ip().is_loopback() {
            SockRef::from(tcp).set_recv_buffer_size(UNREAD_BYTES)?;
        }
        Ok(())
    }

    /// Whether nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

fn no_tls(settings: &Settings, mode: TlsMode) -> String {
    let why = if settings.tls.is_none() { "what leaves this machine is encrypted" } else { "sslmode asks for it" };
    format!("the server offers none, and {why} ({mode}); sslmode=disable would do without")
}

/// The system itself asks a peer that is silent, and gives up on one that acknowledges nothing.
fn notice_dead_network(tcp: &TcpStream, within: Duration) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    // The system counts in whole seconds.
    let interval = (within / 6).max(Duration::from_secs(1));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(within / 3).with_interval(interval))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(within))?;
    Ok(())
}

async fn unix(folder: &Path, port: u16) -> Result<Stream, WireError> {
    let path = folder.join(format!(".s.PGSQL.{port}"));
    UnixStream::connect(path).await.map(Stream::Unix).map_err(WireError::io("connecting to the socket"))
}

enum Answer {
    Yes(TcpStream),
    No(TcpStream),
}

/// Reads a single byte: whatever follows belongs to the handshake, so that nobody can slip in plain text before it.
async fn ask_for_tls(mut tcp: TcpStream) -> Result<Answer, WireError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(WireError::io("asking for TLS"))?;
    match tcp.read_u8().await.map_err(WireError::io("asking for TLS"))? {
        b'S' => Ok(Answer::Yes(tcp)),
        b'N' => Ok(Answer::No(tcp)),
        _ => Err(WireError::protocol("neither yes nor no to TLS: is this a PostgreSQL server?")),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

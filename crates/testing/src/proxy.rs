//! A network that fails on demand: a TCP proxy on the loopback address, between a client and a server of a test.
//!
//! After so many bytes, counted over all connections and both directions, one fault happens: to the connection that
//! carries the byte, or to all. What is dead here looks as it does behind a router that drops everything: nothing
//! arrives, nothing is refused, nothing closes. All threads end when the value is dropped.

use crate::{Failed, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed, both ways.
    Cut,
    /// The connection is open and carries nothing any more.
    Stall,
    /// The same for every connection, also new ones, until [`Proxy::heal`].
    Dead,
}

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    planned: Mutex<Option<(u64, Fault)>>,
    is_dead: AtomicBool,
    ends: AtomicBool,
    /// Every socket that may still be open, so that threads that wait for one can be ended.
    sockets: Mutex<Vec<TcpStream>>,
}

/// One connection: whether it carries nothing any more.
#[derive(Debug, Clone)]
struct Carried {
    stalled: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy before a port of this machine.
    pub fn before(port: u16) -> Result<Self> {
        let failed = |error: std::io::Error| Failed::new(format!("a proxy: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let shared = Arc::new(Shared {
            upstream: port,
            planned: Mutex::new(None),
            is_dead: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        let port = listener.local_addr().map_err(failed)?.port();
        let accepting = shared.clone();
        std::thread::spawn(move || accepting.accept(&listener));
        Ok(Self { port, shared })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// So many bytes pass from now on; then this happens, once.
    pub fn after(&self, bytes: u64, fault: Fault) {
        *lock(&self.shared.planned) = Some((bytes, fault));
    }

    /// Whether what was planned has happened.
    pub fn has_happened(&self) -> bool {
        lock(&self.shared.planned).is_none()
    }

    /// New connections work again. What was dead stays dead.
    pub fn heal(&self) {
        *lock(&self.shared.planned) = None;
        self.shared.is_dead.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for socket in lock(&self.shared.sockets).drain(..) {
            // One that is closed already needs no closing.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            // A server that is down refuses, and so does the proxy: by closing.
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", self.upstream))) else { continue };
            let stalled = Arc::new(AtomicBool::new(self.is_dead.load(Ordering::SeqCst)));
            let carried = Carried { stalled, shared: self.clone() };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else { return };
                let _ = from.set_nodelay(true);
                let mut sockets = lock(&self.sockets);
                sockets.retain(|socket| socket.peer_addr().is_ok());
                sockets.push(kept);
                drop(sockets);
                let carried = carried.clone();
                std::thread::spawn(move || carried.carry(from, to));
            }
        }
    }

    /// How many of these bytes pass, and what happens then.
    fn pass(&self, bytes: usize) -> (usize, Option<Fault>) {
        let mut planned = lock(&self.planned);
        match planned.take() {
            Some((left, fault)) if bytes as u64 >= left => (left as usize, Some(fault)),
            Some((left, fault)) => {
                *planned = Some((left - bytes as u64, fault));
                (bytes, None)
            }
            None => (bytes, None),
        }
    }
}

impl Carried {
    fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::SeqCst) || self.shared.is_dead.load(Ordering::SeqCst)
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(read) if read > 0 => read,
                _ => break,
            };
            if self.is_stalled() {
                // Once dead, dead also after healing. The end waits for the proxy's: nothing closes here.
                self.stalled.store(true, Ordering::SeqCst);
                return;
            }
            let (passes, fault) = self.shared.pass(read);
            if to.write_all(&buffer[..passes]).is_err() {
                break;
            }
            match fault {
                None => {}
                Some(Fault::Cut) => break,
                Some(Fault::Stall) => return self.stalled.store(true, Ordering::SeqCst),
                Some(Fault::Dead) => {
                    self.stalled.store(true, Ordering::SeqCst);
                    return self.shared.is_dead.store(true, Ordering::SeqCst);
                }
            }
        }
        if self.is_stalled() {
            return;
        }
        for socket in [&from, &to] {
            // One that is closed already needs no closing.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

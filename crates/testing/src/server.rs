//! A cluster of one test: made from a template, started on a spare port, killed and restarted at will.
//!
//! The template is made once for each release and account, in the folder for temporary files, and copied after that.
//! A server is a child of this process; beside it a shell waits for this process to end, by a pipe that only this
//! process holds, and then ends the server and removes its folder.

use crate::certificates::Certificates;
use crate::installation::{Installation, Release, output};
use crate::{Failed, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tempfile::TempDir;
use tidewater_core::env::{Env, read_text_max};

/// Below the range that systems give to programs that ask for any port.
const PORTS: std::ops::Range<u64> = 20_000..32_000;
/// How often another spare port is tried.
const PORT_TRIES_MAX: usize = 20;
/// More than the settings of any test.
const CONF_BYTES_MAX: u64 = 1 << 20;
/// How many lines of a server's log are kept.
const LOG_LINES_MAX: usize = 500;
/// What is the same for all servers of tests.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
wal_level = logical
fsync = on
max_wal_senders = 20
max_replication_slots = 20
max_prepared_transactions = 10
max_connections = 50
shared_buffers = 32MB
logging_collector = off
log_destination = stderr
log_min_messages = warning
lc_messages = 'C'
";
/// Waits for the end of the test's process, then ends the server and removes its folder.
const WATCH: &str = r#"read -r _; kill -QUIT "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.05; done; rm -rf "$2""#;

/// Who is let in, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody on this machine, without a password.
    Trust,
    /// By SCRAM over TLS, or over the socket: passwords are asked for, and TCP without TLS is refused.
    /// The certificate is for `localhost`, and for 127.0.0.1 where `address`.
    Tls {
        /// Whether the certificate is for the address too.
        address: bool,
    },
    /// As the word in `pg_hba.conf` says, without TLS: `scram-sha-256`, `md5`, `password`.
    Password(&'static str),
}

/// What a server is to be like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which release.
    pub release: Release,
    /// Who is let in.
    pub access: Access,
    /// Further settings: name, value.
    pub settings: Vec<(String, String)>,
}

impl Setup {
    /// A server that trusts everybody on this machine.
    pub fn new(release: Release) -> Self {
        Self { release, access: Access::Trust, settings: Vec::new() }
    }

    /// The same, with another way in.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The same, with one more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A running server of this test's own. Its superuser is `postgres`.
#[derive(Debug)]
pub struct Postgres {
    installation: Installation,
    port: u16,
    log: Log,
    running: Option<Running>,
    // Last, so that it is removed when nothing runs in it any more.
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    server: Child,
    watch: Child,
    /// Reads the log until nobody has it open any more: neither the server nor a child of it.
    log: JoinHandle<()>,
    /// Held open as long as this process lives.
    _alive: ChildStdin,
}

impl Postgres {
    /// The password of the superuser, where one is asked for.
    pub const PASSWORD: &'static str = "cloth:bound\\book";

    /// Starts a server that trusts everybody on this machine.
    pub fn start(release: Release) -> Result<Self> {
        Self::start_with(&Setup::new(release))
    }

    /// Starts a server.
    pub fn start_with(setup: &Setup) -> Result<Self> {
        if setup.release == Release::Newest && matches!(setup.access, Access::Tls { .. }) {
            return Err(Failed::new("the newest release of the tests is built without TLS: take Debian's for that"));
        }
        let installation = Installation::find(setup.release)?;
        let folder = tempfile::Builder::new().prefix("tidewater-pg-").tempdir().map_err(|e| failed("a folder", e))?;
        installation.hand_over(folder.path())?;
        let template = template(&installation)?;
        let data = folder.path().join("data");
        output(installation.as_user("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(&data))?;
        let mut server = Self { installation, port: 0, log: Log::default(), running: None, folder };
        server.configure(setup)?;
        server.launch_on_a_spare_port()?;
        Ok(server)
    }

    /// Starts a standby of this server, which takes over when told to by `pg_promote()`. On both, `application` is the
    /// name of the slot that keeps the log for it, and of its connection.
    pub fn standby(&self, application: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidewater-pg-").tempdir().map_err(|e| failed("a folder", e))?;
        let installation = self.installation.clone();
        installation.hand_over(folder.path())?;
        let mut backup = installation.command("pg_basebackup");
        backup.args(["-X", "stream", "-c", "fast", "--no-sync", "-C", "-S", application, "-U", "postgres"]);
        backup.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
        output(backup.arg("-D").arg(folder.path().join("data")))?;
        let mut standby = Self { installation, port: 0, log: Log::default(), running: None, folder };
        let conf = standby.data().join("postgresql.auto.conf");
        let mut settings = read_text_max(&conf, CONF_BYTES_MAX).map_err(|e| failed("postgresql.auto.conf", e))?;
        settings += &format!(
            "unix_socket_directories = '{}'\nhot_standby_feedback = on\nprimary_slot_name = '{application}'\n\
             primary_conninfo = 'host={} port={} user=postgres dbname=postgres application_name={application}'\n",
            standby.folder.path().display(),
            self.folder.path().display(),
            self.port
        );
        standby.put("data/postgresql.auto.conf", &settings)?;
        standby.put("data/standby.signal", "")?;
        standby.launch_on_a_spare_port()?;
        Ok(standby)
    }

    fn launch_on_a_spare_port(&mut self) -> Result<()> {
        let random = Env::real().random;
        for _ in 0..PORT_TRIES_MAX {
            self.port = (PORTS.start + random.bits() % (PORTS.end - PORTS.start)) as u16;
            if TcpListener::bind(("127.0.0.1", self.port)).is_err() {
                continue;
            }
            match self.launch() {
                // Somebody was faster.
                Err(_) if self.log.contains("could not bind") => self.log.clear(),
                other => return other,
            }
        }
        Err(Failed::new(format!("no port is free after {PORT_TRIES_MAX} tries")))
    }

    fn configure(&self, setup: &Setup) -> Result<()> {
        let mut settings = SETTINGS.to_owned();
        settings += &format!("unix_socket_directories = '{}'\n", self.folder.path().display());
        let (local, host, tls) = match setup.access {
            Access::Trust => ("trust", "trust", None),
            Access::Password(word) => (word, word, None),
            Access::Tls { address } => ("scram-sha-256", "scram-sha-256", Some(Certificates::make(address)?)),
        };
        let kind = if tls.is_some() { "hostssl" } else { "host" };
        if host == "md5" {
            settings += "password_encryption = 'md5'\n";
        }
        if let Some(made) = tls {
            settings += "ssl = on\n";
            self.put("data/server.key", &made.server_key)?;
            self.put("data/server.crt", &made.server)?;
            fs::write(self.authority(), made.authority).map_err(|e| failed("the certificate", e))?;
        }
        for (name, value) in &setup.settings {
            settings += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        let hba = |local: &str, kind: &str, host: &str| {
            let line = |what: &str| format!("local {what} all {local}\n{kind} {what} all 127.0.0.1/32 {host}\n");
            format!("{}{}", line("all"), line("replication"))
        };
        self.put("data/postgresql.auto.conf", &settings)?;
        self.put("data/pg_hba.conf", &hba(local, kind, host))?;
        if setup.access != Access::Trust {
            let encryption = if host == "md5" { "md5" } else { "scram-sha-256" };
            self.set_password(encryption)?;
        }
        Ok(())
    }

    /// Before anybody is let in: the server's single-user mode asks for no password.
    fn set_password(&self, encryption: &str) -> Result<()> {
        let mut single = self.installation.command("postgres");
        single.args(["--single", "-c", &format!("password_encryption={encryption}"), "-D"]).arg(self.data());
        single.arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut single = single.spawn().map_err(|e| failed("postgres --single", e))?;
        let statement = format!("ALTER USER postgres PASSWORD '{}'\n", Self::PASSWORD);
        if let Some(mut stdin) = single.stdin.take() {
            stdin.write_all(statement.as_bytes()).map_err(|e| failed("postgres --single", e))?;
        }
        let done = single.wait_with_output().map_err(|e| failed("postgres --single", e))?;
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.success() && !said.contains("ERROR") {
            return Ok(());
        }
        Err(Failed::new(format!("the password could not be set: {said}")))
    }

    fn put(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(name);
        fs::write(&path, text).map_err(|e| failed(name, e))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|e| failed(name, e))?;
        self.installation.hand_over(&path)
    }

    fn launch(&mut self) -> Result<()> {
        let mut command = self.installation.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().map_err(|e| failed("postgres", e))?;
        let mut watch = self.installation.as_user("sh");
        watch.args(["-c", WATCH, "watch", &server.id().to_string()]).arg(self.folder.path());
        watch.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut watch = watch.spawn().map_err(|e| failed("sh", e))?;
        let (Some(stderr), Some(alive)) = (server.stderr.take(), watch.stdin.take()) else {
            return Err(Failed::new("a child process has no pipes"));
        };
        let (ready, is_ready) = sync_channel(1);
        let log = self.log.clone();
        let log = std::thread::spawn(move || log.follow(BufReader::new(stderr), &ready));
        self.running = Some(Running { server, watch, log, _alive: alive });
        // The sender goes with the log: a server that ends before it is ready ends the wait too.
        if is_ready.recv().is_ok() {
            return Ok(());
        }
        self.end(Signal::QUIT);
        Err(Failed::new(format!("the server did not start:\n{}", self.log.text())))
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut running) = self.running.take() else { return };
        // The watch first, or it would take the end for that of this process. Both are children that nobody has
        // waited for, so their numbers are still theirs; errors mean that they have ended already.
        let _ = running.watch.kill();
        let _ = running.watch.wait();
        let own = running.server.id();
        let pid = |id: u32| i32::try_from(id).ok().and_then(Pid::from_raw);
        // Not all children of a server that was killed go by themselves: one that waits for log to be written, to make a
        // slot, waits for ever. The server stands still while they are counted.
        let mut all = vec![own];
        if signal == Signal::KILL {
            let _ = pid(own).map(|own| kill_process(own, Signal::STOP));
            all.extend(children(own));
        }
        for one in all.into_iter().filter_map(pid) {
            let _ = kill_process(one, signal);
        }
        let _ = running.server.wait();
        // Until the children are gone, they hold what the next server needs.
        let _ = running.log.join();
    }

    /// Kills the server as a crash would: no shutdown, no checkpoint. Its children are gone too when this returns.
    pub fn kill9(&mut self) {
        self.end(Signal::KILL);
    }

    /// Shuts the server down in order: clients are cut off, what is committed is kept.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Starts the server again, on the same port, after shutting it down where it still runs.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.launch()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process of the server, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.server.id())
    }

    /// The folder with the Unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate of the authority that signed the server's, where it speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The URL of a database over TCP, for the superuser, without a password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A program of the server's release, to be run by the account that the server runs as.
    pub fn program(&self, name: &str) -> Command {
        self.installation.command(name)
    }

    /// What the server logged last.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Runs statements in the database `postgres` as the superuser; see [`Postgres::execute_in`].
    pub fn execute(&self, sql: &str) -> Result<String> {
        self.execute_in("postgres", sql)
    }

    /// Runs statements by `psql`, which stops at the first error. Rows come back one a line, columns divided by `|`.
    pub fn execute_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.installation.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", "-U", "postgres", "-d", database]);
        psql.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string()).env("PGPASSWORD", Self::PASSWORD);
        let mut psql = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| failed("psql", e))?;
        if let Some(mut stdin) = psql.stdin.take() {
            // A psql that stopped early closes its end: what it said is worth more than this error.
            let _ = stdin.write_all(sql.as_bytes());
        }
        let done = psql.wait_with_output().map_err(|e| failed("psql", e))?;
        if !done.status.success() {
            return Err(Failed::new(format!("psql failed: {}", String::from_utf8_lossy(&done.stderr).trim())));
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim_end_matches('\n').to_owned())
    }

    /// Runs a program of the server's installation, for the superuser; says what it printed. The last argument is the
    /// database.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.installation.command(program);
        command.env("PGHOST", self.folder.path()).env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        output(command.args(arguments))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    // Nothing readable is nobody.
    let Ok(file) = std::fs::File::open(format!("/proc/{of}/task/{of}/children")) else { return vec![] };
    let words = BufReader::new(file.take(64 << 10)).split(b' ');
    words.filter_map(|word| std::str::from_utf8(&word.ok()?).ok()?.trim().parse().ok()).collect()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end(Signal::QUIT);
    }
}

fn failed(what: &str, error: std::io::Error) -> Failed {
    Failed::new(format!("{what}: {error}"))
}

/// The folder that clusters are copied from; made where it is missing, moved into place whole.
fn template(installation: &Installation) -> Result<PathBuf> {
    let name = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let version: String = installation.version.chars().map(name).collect();
    let base = std::env::temp_dir();
    let template = base.join(format!("tidewater-template-{}-{version}", installation.uid()));
    if is_ours(&template, installation.uid()) {
        return Ok(template);
    }
    let making = tempfile::Builder::new().prefix("tidewater-making-").tempdir().map_err(|e| failed("a folder", e))?;
    installation.hand_over(making.path())?;
    let made = making.path().join("data");
    let options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"];
    output(installation.command("initdb").args(options).arg(&made))?;
    // Where another process was faster, its template is as good.
    let moved = fs::rename(&made, &template);
    if is_ours(&template, installation.uid()) {
        return Ok(template);
    }
    let why = moved.err().map_or_else(|| "it is not ours".to_owned(), |error| error.to_string());
    Err(Failed::new(format!("{} cannot be used as a template: {why}", template.display())))
}

/// The folder for temporary files belongs to everybody: what lies there under our name may be somebody else's.
fn is_ours(template: &Path, uid: u32) -> bool {
    fs::symlink_metadata(template).is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0)
}

/// The last lines of a server's log.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Reads to the end, so that the server never waits for a full pipe; says when the server is ready.
    fn follow(&self, lines: impl BufRead, ready: &SyncSender<()>) {
        for line in lines.split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            let is_ready = line.contains("ready to accept connections") || line.contains("ready to accept read-only");
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == LOG_LINES_MAX {
                kept.pop_front();
            }
            kept.push_back(line);
            drop(kept);
            if is_ready {
                // Nobody waits any more after the first time.
                let _ = ready.try_send(());
            }
        }
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn contains(&self, what: &str) -> bool {
        self.text().contains(what)
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

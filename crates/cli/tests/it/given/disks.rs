//! Disks that are full or read-only, and programs that hold locks. Mounting needs rights: where they are missing,
//! the answer is `None` and the test says that it was left out.

use super::Place;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A mounted folder, unmounted with the test.
pub(crate) struct Mounted(PathBuf);

/// A disk of this size (as `2m`) in a folder of the place. Declare it after the place, so that it goes first.
pub(crate) fn small_disk(place: &Place, folder: &str, size: &str) -> Option<Mounted> {
    let path = place.path(folder);
    std::fs::create_dir(&path).expect("a folder to mount on");
    let options = format!("size={size}");
    mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &path).then(|| Mounted(path))
}

/// Makes a folder of the place read-only, for root too.
pub(crate) fn read_only(place: &Place, folder: &str) -> Option<Mounted> {
    let path = place.path(folder);
    let source = path.display().to_string();
    if !mount(&["--bind", &source], &path) {
        return None;
    }
    let mounted = Mounted(path);
    mount(&["-o", "remount,ro,bind"], &mounted.0).then_some(mounted)
}

impl Mounted {
    /// Gives the disk another size.
    pub(crate) fn grows_to(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.0), "a tmpfs can grow");
    }

    /// Fills what is left of the disk, but for these bytes.
    pub(crate) fn is_filled_but_for(&self, bytes: usize) {
        let path = self.0.join("filler");
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=4096", "status=none"])
            .arg(format!("of={}", path.display()))
            .stderr(Stdio::null())
            .status();
        assert!(!filled.expect("there is dd").success(), "dd goes on until the disk is full");
        let length = std::fs::metadata(&path).expect("the filler").len();
        let kept = length.saturating_sub(bytes as u64);
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the filler");
        file.set_len(kept).expect("a file can be cut");
    }

    /// Takes away what `is_filled_but_for` left.
    pub(crate) fn is_cleared(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("the filler is there");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let mounted = Command::new("mount").args(arguments).arg(path).stderr(Stdio::null()).status();
    mounted.is_ok_and(|status| status.success())
}

/// A program that holds a database's lock until it is dropped.
pub(crate) struct Locked(Child);

/// Another program begins a transaction that locks the whole database, and does not end it.
#[track_caller]
pub(crate) fn locked(place: &Place, database: &str) -> Locked {
    const HOLD: &str = "
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
sys.stdin.read()";
    let mut child = Command::new("python3")
        .args(["-c", HOLD])
        .arg(place.path(database))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed (scripts/test does it)");
    let mut line = String::new();
    let out = child.stdout.take().expect("it was asked for");
    BufReader::new(out).read_line(&mut line).expect("a line of text");
    assert_eq!(line.trim(), "held", "the lock is held");
    Locked(child)
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

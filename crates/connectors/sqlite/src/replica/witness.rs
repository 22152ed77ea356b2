//! The witness: a file beside the database that says which state of which file counted last.
//!
//! A database that is copied, restored or put back brings its count along, and would use the same numbers again for
//! other writes. The witness does not come along, or says another file. Where it does come along, put back into the
//! same file with everything else, the file system says another time: the database keeps the one at which the witness
//! was last written, which nothing that copies files can set.
//!
//! It is written before every commit that uses numbers: a crash between the two makes a new incarnation where none was
//! needed, which costs nothing but a name. It need not be flushed, for the same reason.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use tidewater_core::Result;
use tidewater_core::merge::Node;

/// Longer than any line of ours.
const BYTES_MAX: u64 = 256;

/// The file, open.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    database: PathBuf,
    shown: String,
    file: Option<File>,
}

/// When a file was last changed in any way, in nanoseconds since 1970 UTC.
fn changed_ns(of: &Metadata) -> i64 {
    of.ctime().saturating_mul(1_000_000_000).saturating_add(of.ctime_nsec())
}

impl Witness {
    /// The witness of a database.
    pub(super) fn new(database: &Path, shown: &str) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-tidewater-witness");
        Self { path: path.into(), database: database.to_owned(), shown: shown.to_owned(), file: None }
    }

    /// What it should say. The line is of one length, so that one write replaces another.
    fn line(&self, node: Node, seq: u64) -> Option<String> {
        let of = std::fs::metadata(&self.database).ok()?;
        let node: String = node.0.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("tidewater 1 {node} {seq:020} {:020} {:020}\n", of.dev(), of.ino()))
    }

    /// Whether it says that this file, at this number, is the one that counted last, and was written then.
    pub(super) fn confirms(&self, node: Node, seq: u64, written_ns: i64) -> bool {
        let said = tidewater_core::env::read_text_max(&self.path, BYTES_MAX);
        let at = std::fs::metadata(&self.path).map(|of| changed_ns(&of));
        said.is_ok_and(|said| Some(said) == self.line(node, seq)) && at.is_ok_and(|at| at == written_ns)
    }

    /// Says so. Answers when it did.
    pub(super) fn note(&mut self, node: Node, seq: u64) -> Result<i64> {
        let Some(line) = self.line(node, seq) else {
            return Err(crate::capture::restored(&self.shown));
        };
        let before = self.file.take();
        let work = || -> std::io::Result<(File, i64)> {
            let file = match before {
                Some(file) => file,
                None => OpenOptions::new().write(true).create(true).truncate(true).open(&self.path)?,
            };
            file.write_all_at(line.as_bytes(), 0)?;
            let written_ns = changed_ns(&file.metadata()?);
            Ok((file, written_ns))
        };
        let (file, written_ns) = work().map_err(|error| crate::error::read_only(&self.shown, &error.to_string()))?;
        self.file = Some(file);
        Ok(written_ns)
    }

    /// Goes, with everything else of ours.
    pub(super) fn remove(&mut self) {
        self.file = None;
        let _ = std::fs::remove_file(&self.path);
    }
}

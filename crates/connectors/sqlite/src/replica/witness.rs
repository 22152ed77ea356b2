//! The witness: a file beside the database that says which state of which file counted last.
//!
//! A database that is copied, restored or put back brings its count along, and would use the same numbers again for
//! other writes. The witness does not come along, or says another file. It is written before every commit that uses
//! numbers: a crash between the two makes a new incarnation where none was needed, which costs nothing but a name.
//! It need not be flushed, for the same reason.

use std::fs::{File, OpenOptions};
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

    /// Whether it says that this file, at this number, is the one that counted last.
    pub(super) fn confirms(&self, node: Node, seq: u64) -> bool {
        let said = tidewater_core::env::read_text_max(&self.path, BYTES_MAX);
        said.is_ok_and(|said| Some(said) == self.line(node, seq))
    }

    /// Says so.
    pub(super) fn note(&mut self, node: Node, seq: u64) -> Result<()> {
        let Some(line) = self.line(node, seq) else {
            return Err(crate::capture::restored(&self.shown));
        };
        let before = self.file.take();
        let work = || -> std::io::Result<File> {
            let file = match before {
                Some(file) => file,
                None => OpenOptions::new().write(true).create(true).truncate(true).open(&self.path)?,
            };
            file.write_all_at(line.as_bytes(), 0)?;
            Ok(file)
        };
        self.file = Some(work().map_err(|error| crate::error::read_only(&self.shown, &error.to_string()))?);
        Ok(())
    }

    /// Goes, with everything else of ours.
    pub(super) fn remove(&mut self) {
        self.file = None;
        let _ = std::fs::remove_file(&self.path);
    }
}

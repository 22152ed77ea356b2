//! The disk: files that are appended to, and folders, with the calls that make either survive a loss of power.
//!
//! Contract. What was appended MUST survive once `sync` of the file returned, a name once `sync_folder` of its folder
//! did; before that either may be there, in part or not at all. A failed call may have been carried out in part.
//! Reads of small text files, which nobody writes, are in `text.rs`. `memory.rs` is the double that loses what was
//! not synced. Tests: `tests/it/spool.rs`.

mod memory;
mod real;
mod text;

pub use memory::MemoryDisk;
pub(super) use real::RealDisk;
pub use text::read_text_max;

use std::io::Result;
use std::path::Path;

/// Folders and their files.
pub trait Disk: Send + Sync {
    /// Makes a folder that only its owner can look into, and those above it, where they are missing. Survives.
    fn create_folder(&self, folder: &Path) -> Result<()>;
    /// The names in a folder, sorted; none where it is missing.
    fn list(&self, folder: &Path) -> Result<Vec<String>>;
    /// Opens a file for reading and appending; with `make`, an empty one where it is missing.
    fn open(&self, path: &Path, make: bool) -> Result<Box<dyn DiskFile>>;
    /// Gives a file another name in its folder; one that had it is gone.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, folder: &Path) -> Result<()>;
    /// The names of a folder survive from here on.
    fn sync_folder(&self, folder: &Path) -> Result<()>;
    /// Locks a file, made where it is missing, against other processes until the lock is dropped, or its process is
    /// gone; `None` where another has it.
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Held>>>;
}

/// A lock that is held.
pub trait Held: Send + Sync {}

/// A file that is open.
pub trait DiskFile: Send + Sync {
    /// How long it is.
    fn size(&self) -> Result<u64>;
    /// Fills the buffer from a place, as far as the file goes; says how far.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize>;
    /// Appends.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Takes away what is beyond this length.
    fn cut(&mut self, size: u64) -> Result<()>;
    /// Its contents survive from here on.
    fn sync(&mut self) -> Result<()>;
}

//! Bounded reads of small text files: configuration, secrets by reference.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Reads a text file of at most `bytes_max` bytes; a longer one is an error, not a long wait.
#[allow(clippy::disallowed_methods, reason = "the read is bounded by take")]
pub fn read_text_max(path: &Path, bytes_max: u64) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if read as u64 > bytes_max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("longer than {bytes_max} bytes")));
    }
    Ok(text)
}

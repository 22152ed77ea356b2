//! Whose spool it is, and what is needed to begin while the target is away; and the seal of what is written once.

use super::{damaged, newer, unusable};
use crate::change::{read_varint, take, varint};
use crate::env::Disk;
use crate::error::Result;
use std::path::Path;

/// What this version writes.
const FORMAT: u16 = 1;
const MAGIC: &[u8; 8] = b"tidespol";
/// Magic, format, kind, and the length of what follows.
const FRONT: usize = 16;
pub(super) const CHECKSUM: usize = 16;
/// More than anybody's tables need; less than hurts to read.
const SEALED_MAX: u64 = 16 << 20;

/// Whose spool it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The link.
    pub link: String,
    /// The sync's name.
    pub sync: String,
    /// The source's identity.
    pub source_identity: String,
    /// The target, as people know it.
    pub target: String,
    /// The target's identity.
    pub target_identity: String,
    /// The tables, by their names at the source, each with the digest of its mapping: what changes count in.
    pub mappings: Vec<(String, String)>,
}

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    Card = 1,
    Segment = 2,
}

/// A body with what it takes to know that it is whole.
pub(super) fn seal(kind: Sealed, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRONT + body.len() + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(kind as u16).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(body);
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(&checksum.as_bytes()[..CHECKSUM]);
    bytes
}

/// Reads what was sealed from the beginning of a file: the body, and how long the whole is.
pub(super) fn unseal(disk: &dyn Disk, path: &Path, folder: &Path, kind: Sealed) -> Result<(Vec<u8>, u64)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wrong = |why: &str| damaged(folder, &format!("{name} {why}"));
    let mut file = disk.open(path, false).map_err(|error| unusable(folder, &error))?;
    let mut read = |offset: u64, buffer: &mut [u8]| match file.read_at(offset, buffer) {
        Ok(read) if read == buffer.len() => Ok(()),
        Ok(_) => Err(wrong("is too short")),
        Err(error) => Err(unusable(folder, &error)),
    };
    let mut front = [0; FRONT];
    read(0, &mut front)?;
    let short = |at: usize| u16::from_le_bytes([front[at], front[at + 1]]);
    if &front[..8] != MAGIC {
        return Err(wrong("is no file of a spool"));
    }
    if short(8) > FORMAT {
        return Err(newer(folder, short(8)));
    }
    let length = u64::from(u32::from_le_bytes([front[12], front[13], front[14], front[15]]));
    if short(8) != FORMAT || short(10) != kind as u16 || length > SEALED_MAX {
        return Err(wrong("has another beginning than what was written"));
    }
    let mut rest = vec![0; usize::try_from(length).unwrap_or(usize::MAX) + CHECKSUM];
    read(FRONT as u64, &mut rest)?;
    let checksum = rest.split_off(rest.len() - CHECKSUM);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&front).update(&rest);
    if hasher.finalize().as_bytes()[..CHECKSUM] != checksum[..] {
        return Err(wrong("has other contents than what was written"));
    }
    Ok((rest, FRONT as u64 + length + CHECKSUM as u64))
}

/// Appends a text with its length.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a text with its length.
pub(super) fn take_text(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(read_varint(input).ok()?).ok()?;
    String::from_utf8(take(input, length).ok()?.to_vec()).ok()
}

impl Card {
    pub(super) fn seal(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for text in [&self.link, &self.sync, &self.source_identity, &self.target, &self.target_identity] {
            put_text(text, &mut body);
        }
        varint(self.mappings.len() as u64, &mut body);
        for (name, digest) in &self.mappings {
            put_text(name, &mut body);
            put_text(digest, &mut body);
        }
        seal(Sealed::Card, &body)
    }

    pub(super) fn load(disk: &dyn Disk, path: &Path, folder: &Path) -> Result<Self> {
        let (body, _) = unseal(disk, path, folder, Sealed::Card)?;
        Self::read(&mut &body[..]).ok_or_else(|| damaged(folder, "the file that says whose it is is not understood"))
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let mut card = Self {
            link: take_text(input)?,
            sync: take_text(input)?,
            source_identity: take_text(input)?,
            target: take_text(input)?,
            target_identity: take_text(input)?,
            mappings: vec![],
        };
        for _ in 0..read_varint(input).ok()? {
            card.mappings.push((take_text(input)?, take_text(input)?));
        }
        input.is_empty().then_some(card)
    }
}

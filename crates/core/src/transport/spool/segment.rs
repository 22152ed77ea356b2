//! A segment: a sealed header that says after which position it begins, then records.

use super::card::{CHECKSUM, Sealed, put_text, seal, take_text, unseal};
use super::{damaged, record, unusable};
use crate::change::{Position, read_varint, varint};
use crate::env::{Disk, DiskFile};
use crate::error::Result;
use std::io;
use std::path::Path;

const EXTENSION: &str = ".seg";
/// Length and checksum of a record.
const FRONT: u64 = 4 + CHECKSUM as u64;

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// The position that its first record follows.
    pub(super) base: Position,
    /// Where its records begin.
    pub(super) begin: u64,
    /// How long it is, as far as it is whole.
    pub(super) size: u64,
}

pub(super) fn name(number: u64) -> String {
    format!("{number:016}{EXTENSION}")
}

pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.parse().ok()
}

pub(super) fn header(link: &str, number: u64, base: &Position) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(link, &mut body);
    varint(number, &mut body);
    put_text(&base.0, &mut body);
    seal(Sealed::Segment, &body)
}

/// What was found at a place.
pub(super) enum Found {
    /// The payload of a record, and where the next one is.
    Record(Vec<u8>, u64),
    /// The end.
    End,
    /// Something else; and where the next record is, if its length can be believed.
    Torn(Option<u64>),
}

impl Segment {
    pub(super) fn new(number: u64, base: Position, begin: u64) -> Self {
        Self { number, base, begin, size: begin }
    }

    /// Reads the header.
    pub(super) fn load(disk: &dyn Disk, folder: &Path, link: &str, number: u64) -> Result<Self> {
        let path = folder.join(name(number));
        let (body, begin) = unseal(disk, &path, folder, Sealed::Segment)?;
        let input = &mut &body[..];
        let read = (take_text(input), read_varint(input).ok(), take_text(input));
        let (Some(whose), Some(stored), Some(base)) = read else {
            return Err(damaged(folder, &format!("the header of segment {number} is not understood")));
        };
        if whose != link || stored != number {
            return Err(damaged(folder, &format!("segment {number} is another one, or that of another link")));
        }
        let size = disk.open(&path, false).and_then(|file| file.size()).map_err(|error| unusable(folder, &error))?;
        Ok(Self { number, base: Position(base), begin, size })
    }

    /// Finds the end of the last segment, cuts off what is torn there, and makes what is left survive.
    pub(super) fn mend_end(&mut self, disk: &dyn Disk, folder: &Path, link: &str) -> Result<Position> {
        let wrong = |error: io::Error| unusable(folder, &error);
        let mut file = disk.open(&folder.join(name(self.number)), false).map_err(wrong)?;
        let (mut at, mut end) = (self.begin, self.base.clone());
        loop {
            match self.find(&mut *file, link, at).map_err(wrong)? {
                Found::Record(payload, next) => {
                    end = record::position(&payload).ok_or_else(|| self.not_understood(folder, at))?;
                    at = next;
                }
                Found::End => break,
                Found::Torn(next) => {
                    // Records are synced one by one: what has one after it was whole once.
                    let next = next.map(|next| self.find(&mut *file, link, next)).transpose().map_err(wrong)?;
                    if matches!(next, Some(Found::Record(..))) {
                        return Err(self.not_as_written(folder, at));
                    }
                    file.cut(at).map_err(wrong)?;
                    break;
                }
            }
        }
        // Whoever was killed before he synced left records and names that are only in the system's memory.
        file.sync().and_then(|()| disk.sync_folder(folder)).map_err(wrong)?;
        self.size = at;
        Ok(end)
    }

    pub(super) fn find(&self, file: &mut dyn DiskFile, link: &str, at: u64) -> io::Result<Found> {
        let size = file.size()?;
        if at >= size {
            return Ok(Found::End);
        }
        let mut front = [0; FRONT as usize];
        if file.read_at(at, &mut front)? < front.len() {
            return Ok(Found::Torn(None));
        }
        let (length, checksum) = front.split_at(4);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let next = at + FRONT + u64::from(length);
        if next > size || length == 0 {
            return Ok(Found::Torn(None));
        }
        let mut payload = vec![0; length as usize];
        if file.read_at(at + FRONT, &mut payload)? < payload.len() {
            return Ok(Found::Torn(None));
        }
        let is_whole = self.checksum(link, at, &payload)[..] == *checksum;
        Ok(if is_whole { Found::Record(payload, next) } else { Found::Torn(Some(next)) })
    }

    /// Appends a record and makes it survive. What a failure leaves is cut off again.
    pub(super) fn append(&mut self, disk: &dyn Disk, folder: &Path, link: &str, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut bytes = Vec::with_capacity(FRONT as usize + payload.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.checksum(link, self.size, payload));
        bytes.extend_from_slice(payload);
        let mut file = disk.open(&folder.join(name(self.number)), false)?;
        if file.size()? != self.size {
            file.cut(self.size)?;
        }
        if let Err(error) = file.append(&bytes).and_then(|()| file.sync()) {
            // Where this fails too, it is cut before the next one is appended, or when the spool is opened.
            let _cut = file.cut(self.size).and_then(|()| file.sync());
            return Err(error);
        }
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Over the record and its place, so that none can stand for another.
    fn checksum(&self, link: &str, at: u64, payload: &[u8]) -> [u8; CHECKSUM] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(link.as_bytes()).update(&self.number.to_le_bytes()).update(&at.to_le_bytes());
        hasher.update(&(payload.len() as u64).to_le_bytes()).update(payload);
        let mut first = [0; CHECKSUM];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM]);
        first
    }

    pub(super) fn not_as_written(&self, folder: &Path, at: u64) -> crate::error::Error {
        damaged(folder, &format!("segment {} is not what was written, from byte {at} on", self.number))
    }

    pub(super) fn not_understood(&self, folder: &Path, at: u64) -> crate::error::Error {
        damaged(folder, &format!("a record of segment {} is not understood, at byte {at}", self.number))
    }
}

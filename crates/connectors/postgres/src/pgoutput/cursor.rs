//! Reads fields from the front of a message, with every bound checked.

use crate::lsn::Lsn;

/// Bytes that are no message of `pgoutput`, or not one that may come here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a message.
    #[error("the message ends inside its {0}")]
    Truncated(&'static str),
    /// Bytes after the end.
    #[error("{0} bytes left over after the message")]
    Trailing(usize),
    /// A kind of message that is not defined.
    #[error("unknown message {:?}", char::from(*.0))]
    Kind(u8),
    /// A field holds what is not defined for it.
    #[error("{0} is not defined for the {1} of a message")]
    Field(u8, &'static str),
    /// A name that is not UTF-8.
    #[error("the {0} is not UTF-8")]
    Name(&'static str),
    /// Two-phase commit, which is asked for by a slot that was not made by us.
    #[error("message {:?} of two-phase commit: the slot was made with TWO_PHASE, make it anew without", char::from(*.0))]
    TwoPhase(u8),
    /// A message that may not come here.
    #[error("message {kind:?} {1}", kind = char::from(*.0))]
    Place(u8, &'static str),
}

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (front, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(*front)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    pub(super) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        self.array(field).map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    /// A byte in which only the bits of `mask` are defined.
    pub(super) fn flags(&mut self, mask: u8, field: &'static str) -> Result<u8, DecodeError> {
        let flags = self.u8(field)?;
        if flags & !mask == 0 { Ok(flags) } else { Err(DecodeError::Field(flags, field)) }
    }

    pub(super) fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(front)
    }

    /// Bytes behind their length.
    pub(super) fn sized(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u32(field)?;
        self.bytes(usize::try_from(length).map_err(|_| DecodeError::Truncated(field))?, field)
    }

    /// Text up to its zero byte.
    pub(super) fn name(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(DecodeError::Truncated(field))?;
        let name = std::str::from_utf8(self.bytes(end, field)?).map_err(|_| DecodeError::Name(field))?;
        self.u8(field)?;
        Ok(name)
    }

    pub(super) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}

//! Messages of a server: a tag, a length, a body. Bodies are shared slices of what was read.

use super::error::WireError;
use bytes::{Buf, Bytes, BytesMut};

/// The server's own limit for one message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

pub(crate) mod tag {
    pub(crate) const AUTHENTICATION: u8 = b'R';
    pub(crate) const KEY_DATA: u8 = b'K';
    pub(crate) const PARAMETER: u8 = b'S';
    pub(crate) const READY: u8 = b'Z';
    pub(crate) const ROWS: u8 = b'T';
    pub(crate) const ROW: u8 = b'D';
    pub(crate) const COMPLETE: u8 = b'C';
    pub(crate) const EMPTY: u8 = b'I';
    pub(crate) const ERROR: u8 = b'E';
    pub(crate) const NOTICE: u8 = b'N';
    pub(crate) const NOTIFICATION: u8 = b'A';
    pub(crate) const COPY_BOTH: u8 = b'W';
    pub(crate) const COPY_DATA: u8 = b'd';
    pub(crate) const COPY_DONE: u8 = b'c';
}

/// Takes one message from the front of what was read, where it is there whole. Never waits for more than a header
/// before it refuses a length that cannot be.
pub(crate) fn take(read: &mut BytesMut) -> Result<Option<Message>, WireError> {
    let Some(header) = read.first_chunk::<5>() else { return Ok(None) };
    let tag = header[0];
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    // The length counts itself.
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(WireError::protocol(format!("a message of {length} bytes")));
    }
    if read.len() < length + 1 {
        return Ok(None);
    }
    let mut body = read.split_to(length + 1).freeze();
    body.advance(5);
    Ok(Some(Message { tag, body }))
}

/// Takes text up to its zero byte from the front of a body.
pub(crate) fn text(body: &mut Bytes) -> Result<String, WireError> {
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(|| WireError::protocol("text without an end"))?;
    // Messages before the encoding is settled may be in any: they are for people.
    let text = String::from_utf8_lossy(&body[..end]).into_owned();
    body.advance(end + 1);
    Ok(text)
}

/// Takes `N` bytes from the front of a body.
pub(crate) fn array<const N: usize>(body: &mut Bytes) -> Result<[u8; N], WireError> {
    let found = *body.first_chunk::<N>().ok_or_else(|| WireError::protocol("a message that ends too early"))?;
    body.advance(N);
    Ok(found)
}

/// The columns of a row: text, or nothing for NULL.
pub(crate) fn row(mut body: Bytes) -> Result<Vec<Option<String>>, WireError> {
    let count = u16::from_be_bytes(array(&mut body)?);
    let mut columns = Vec::new();
    for _ in 0..count {
        let length = i32::from_be_bytes(array(&mut body)?);
        columns.push(match usize::try_from(length) {
            Ok(length) if length <= body.len() => {
                let text = String::from_utf8(body.split_to(length).to_vec());
                Some(text.map_err(|_| WireError::protocol("an answer that is not UTF-8"))?)
            }
            Err(_) if length == -1 => None,
            _ => return Err(WireError::protocol("a row that ends too early")),
        });
    }
    Ok(columns)
}

/// The names of the columns that rows will have.
pub(crate) fn names(mut body: Bytes) -> Result<Vec<String>, WireError> {
    let count = u16::from_be_bytes(array(&mut body)?);
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(text(&mut body)?);
        // Table, column, type, its length and modifier, format.
        array::<18>(&mut body)?;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_whole() {
        let mut read = BytesMut::from(&b"Z\0\0\0\x05IC\0\0\0"[..]);
        assert_eq!(take(&mut read).unwrap(), Some(Message { tag: b'Z', body: Bytes::from_static(b"I") }));
        assert_eq!(take(&mut read).unwrap(), None);
        read.extend_from_slice(b"\x04");
        assert_eq!(take(&mut read).unwrap(), Some(Message { tag: b'C', body: Bytes::new() }));
        for wrong in [b"Z\0\0\0\x03", b"Z\xFF\xFF\xFF\xFF", b"Z\x40\0\0\x01"] {
            assert!(take(&mut BytesMut::from(&wrong[..])).is_err());
        }
    }

    #[test]
    fn rows_that_lie_are_refused() {
        let good = b"\0\x02\0\0\0\x01a\xFF\xFF\xFF\xFF";
        assert_eq!(row(Bytes::from_static(good)).unwrap(), [Some("a".to_owned()), None]);
        for cut in 0..good.len() {
            assert!(row(Bytes::copy_from_slice(&good[..cut])).is_err(), "{cut}");
        }
        for wrong in [&b"\0\x01\xFF\xFF\xFF\xFEx"[..], b"\0\x01\x7F\xFF\xFF\xFFx", b"\xFF\xFF", b"\0\x01\0\0\0\x01\xFF"]
        {
            assert!(row(Bytes::copy_from_slice(wrong)).is_err());
        }
        assert!(names(Bytes::from_static(b"\xFF\xFFa\0")).is_err());
    }
}

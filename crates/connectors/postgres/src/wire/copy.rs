//! Rows in bulk: COPY in both directions.
//!
//! Contract. [`Connection::copy_out`] brings one line after the other; what is not read to its end is read away before
//! the next statement. What [`Connection::send_copy`] sends the server takes in, or passes over once it has refused some of
//! it; which of the two, [`Connection::end_copy_in`] says, and leaves the connection usable.

use super::connection::{Connection, unexpected};
use super::error::{ServerError, WireError};
use super::message::tag;
use bytes::{BufMut, Bytes};

/// Lines are sent in messages of about this size.
pub(crate) const SENT_BYTES: usize = 64 << 10;

/// What a server says to statements that were sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It waits for the rows of a copy.
    Copy,
    /// A statement was carried out, and touched so many rows.
    Touched(u64),
    /// All of them were.
    Ready,
}

const COPY_IN: u8 = b'G';
const COPY_OUT: u8 = b'H';

impl Connection {
    /// Begins a `COPY … TO STDOUT`.
    pub async fn copy_out(&mut self, sql: &str) -> Result<(), WireError> {
        self.send_query(sql).await?;
        loop {
            match self.checked().await? {
                (COPY_OUT, _) => return Ok(()),
                (tag::NOTICE | tag::COMPLETE, _) => {}
                (other, _) => return Err(unexpected(other, "the beginning of a copy")),
            }
        }
    }

    /// The next line, with its end; `None` when there is no more and the connection is free again.
    pub async fn copied(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            match self.checked().await? {
                (tag::COPY_DATA, body) => return Ok(Some(body)),
                (tag::COPY_DONE | tag::COMPLETE | tag::NOTICE, _) => {}
                (tag::READY, _) => {
                    self.set_busy(false);
                    return Ok(None);
                }
                (other, _) => return Err(unexpected(other, "a copy")),
            }
        }
    }

    /// Begins a `COPY … FROM STDIN`.
    pub async fn begin_copy_in(&mut self, sql: &str) -> Result<(), WireError> {
        self.send_query(sql).await?;
        loop {
            match self.checked().await? {
                (COPY_IN, _) => return Ok(()),
                (tag::NOTICE | tag::COMPLETE, _) => {}
                (other, _) => return Err(unexpected(other, "the beginning of a copy")),
            }
        }
    }

    /// Sends bytes of a copy.
    pub async fn send_copy(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        for piece in bytes.chunks(SENT_BYTES) {
            let out = self.outgoing();
            out.put_u8(tag::COPY_DATA);
            out.put_u32(u32::try_from(piece.len() + 4).unwrap_or(u32::MAX));
            out.put_slice(piece);
            self.flush().await?;
        }
        Ok(())
    }

    /// Says that a copy has no more rows.
    pub(crate) async fn copied_in(&mut self) -> Result<(), WireError> {
        self.outgoing().put_slice(&[tag::COPY_DONE, 0, 0, 0, 4]);
        self.flush().await
    }

    /// Ends a copy; says how many rows the server took.
    pub async fn end_copy_in(&mut self) -> Result<u64, WireError> {
        self.copied_in().await?;
        let mut rows = 0;
        loop {
            match self.checked().await? {
                (tag::COMPLETE, body) => rows = affected(&body),
                (tag::NOTICE, _) => {}
                (tag::READY, _) => {
                    self.set_busy(false);
                    return Ok(rows);
                }
                (other, _) => return Err(unexpected(other, "the end of a copy")),
            }
        }
    }

    /// What the server says next to statements that were sent together, until it is ready; after an error it is.
    pub(crate) async fn answer(&mut self) -> Result<Answer, WireError> {
        loop {
            match self.checked().await? {
                (COPY_IN, _) => return Ok(Answer::Copy),
                (tag::COMPLETE, body) => return Ok(Answer::Touched(affected(&body))),
                (tag::NOTICE | tag::ROWS | tag::ROW | tag::EMPTY, _) => {}
                (tag::READY, _) => {
                    self.set_busy(false);
                    return Ok(Answer::Ready);
                }
                (other, _) => return Err(unexpected(other, "an answer")),
            }
        }
    }

    /// The next message. After an error, what the server still says is read away first.
    async fn checked(&mut self) -> Result<(u8, Bytes), WireError> {
        let message = self.message_or_error().await?;
        if message.tag != tag::ERROR {
            return Ok((message.tag, message.body));
        }
        let error = ServerError::read(message.body)?;
        if error.severity == "ERROR" {
            while self.message_or_error().await?.tag != tag::READY {}
            self.set_busy(false);
        }
        Err(WireError::Server(Box::new(error)))
    }
}

/// How many rows a statement says that it touched: the last word of `INSERT 0 7`, `DELETE 3`, `COPY 5`.
pub(super) fn affected(body: &[u8]) -> u64 {
    let text = std::str::from_utf8(body).unwrap_or("").trim_end_matches('\0');
    text.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::affected;

    #[test]
    fn statements_say_how_many_rows_they_touched() {
        for (tag, rows) in [("INSERT 0 7\0", 7), ("DELETE 3\0", 3), ("COPY 5\0", 5), ("BEGIN\0", 0), ("", 0)] {
            assert_eq!(affected(tag.as_bytes()), rows, "{tag}");
        }
    }
}

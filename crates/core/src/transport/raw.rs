//! Rows that nobody looks into on their way: two databases of one kind understand each other.

use crate::error::Result;
use async_trait::async_trait;

/// Rows in a form of their database's own.
#[async_trait]
pub trait RawRows: Send {
    /// What the form is called, among databases of this kind.
    fn form(&self) -> &'static str;

    /// The next bytes, at most some 100 KiB and one row more; `None` when there are no more.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

//! Hashes of rows, and sums of them for ranges.
//!
//! A row's hash is the first 128 bits of BLAKE3 over its canonical encoding, so it is the same on every engine.
//! A range's hash is the sum of its rows' hashes modulo 2^128: order does not matter, and a row can be taken out.

/// The hash of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowHash(pub u128);

impl RowHash {
    /// The hash of an encoded row.
    pub fn of(encoded: &[u8]) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(encoded).as_bytes()[..16]);
        Self(u128::from_le_bytes(first))
    }
}

/// The hash of a set of rows, with their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RangeHash {
    /// How many rows.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: u128,
}

impl RangeHash {
    /// Adds a row.
    pub fn add(&mut self, row: RowHash) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row.0);
    }
}

//! Places in a server's log.

use std::fmt;
use std::str::FromStr;

/// A place in the write-ahead log, in bytes since its beginning. Written as two hexadecimal halves: `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Text that is no place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a log, such as 16/B374D848")]
pub struct LsnError;

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let half = |text: &str| {
            let is_half = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_half { u64::from_str_radix(text, 16).map_err(|_| LsnError) } else { Err(LsnError) }
        };
        let (high, low) = text.split_once('/').ok_or(LsnError)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_the_server_does() {
        for (place, text) in [(0, "0/0"), (0x16_B374_D848, "16/B374D848"), (u64::MAX, "FFFFFFFF/FFFFFFFF")] {
            assert_eq!((Lsn(place).to_string().as_str(), text.parse()), (text, Ok(Lsn(place))));
        }
        for wrong in ["", "/", "1", "1/", "/1", "1/2/3", "+1/2", "123456789/0", "g/0", " 1/2"] {
            assert_eq!(wrong.parse::<Lsn>(), Err(LsnError), "{wrong}");
        }
    }
}

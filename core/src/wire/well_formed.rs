//! Walks through a CBOR item without building anything: is it whole, and is it within bounds?

use super::WireError;

/// What a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WellFormed {
    /// The bytes of the item; what follows is not its own.
    pub len: usize,
    /// How many items it is made of, itself included.
    pub items: u64,
}

/// Walks through the CBOR item that `bytes` begins with (RFC 8949, section 5.3.1 and appendix C).
///
/// Strings are stepped over, so that the cost goes with the number of items, not of bytes. Nothing
/// is allocated beyond `max_depth` words.
///
/// # Errors
/// The item is not whole, nests deeper than `max_depth` or has more than `max_items` items.
///
/// ```
/// use farcall_core::wire::well_formed;
/// // [1, [2, 3]] and a byte that does not belong to it
/// let found = well_formed(&[0x82, 0x01, 0x82, 0x02, 0x03, 0xff], 8, 100)?;
/// assert_eq!((found.len, found.items), (5, 5));
/// # Ok::<(), farcall_core::wire::WireError>(())
/// ```
pub fn well_formed(
    bytes: &[u8],
    max_depth: usize,
    max_items: u64,
) -> Result<WellFormed, WireError> {
    let mut walk = Walk { bytes, at: 0 };
    let mut items = 0;
    // What each open container still waits for; `None` is one of indefinite length.
    let mut open: Vec<Option<u64>> = Vec::new();
    loop {
        items += 1;
        if items > max_items {
            return Err(too_much("CBOR item", items, max_items));
        }
        match walk.head()? {
            Head::Leaf => {}
            Head::Break => match open.pop() {
                Some(None) => {}
                _ => return Err(WireError::Malformed("break outside of a container".into())),
            },
            Head::Container(inside) => {
                if inside.is_some_and(|inside| inside > max_items - items) {
                    return Err(too_much("CBOR item", inside.unwrap_or(0), max_items));
                }
                if open.len() == max_depth {
                    return Err(too_much(
                        "nesting of CBOR",
                        max_depth as u64 + 1,
                        max_depth as u64,
                    ));
                }
                open.push(inside.map(|inside| inside + 1));
            }
        }
        // Close what this item completed.
        loop {
            match open.last_mut() {
                None => return Ok(WellFormed { len: walk.at, items }),
                Some(None) => break,
                Some(Some(left)) => {
                    *left -= 1;
                    if *left > 0 {
                        break;
                    }
                    open.pop();
                }
            }
        }
    }
}

fn too_much(what: &'static str, found: u64, limit: u64) -> WireError {
    WireError::TooMuch { what, found, limit }
}

enum Head {
    Leaf,
    Container(Option<u64>),
    Break,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn head(&mut self) -> Result<Head, WireError> {
        let initial = *self.bytes.get(self.at).ok_or(WireError::Truncated)?;
        self.at += 1;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = self.argument(info)?;
        Ok(match (major, argument) {
            (0 | 1, Some(_)) => Head::Leaf,
            (2 | 3, Some(len)) => {
                self.step(len)?;
                Head::Leaf
            }
            // A string in pieces: walked as a container of them.
            (2 | 3, None) => Head::Container(None),
            (4, inside) => Head::Container(inside),
            (5, None) => Head::Container(None),
            (5, Some(pairs)) => {
                Head::Container(Some(pairs.checked_mul(2).ok_or(WireError::Truncated)?))
            }
            (6, Some(_)) => Head::Container(Some(1)),
            (7, Some(_)) => Head::Leaf,
            (7, None) => Head::Break,
            _ => return Err(WireError::Malformed("a number of indefinite length".into())),
        })
    }

    fn argument(&mut self, info: u8) -> Result<Option<u64>, WireError> {
        let width = match info {
            0..=23 => return Ok(Some(u64::from(info))),
            24..=27 => 1_usize << (info - 24),
            31 => return Ok(None),
            _ => return Err(WireError::Malformed("reserved additional information".into())),
        };
        let end = self.at + width;
        let bytes = self.bytes.get(self.at..end).ok_or(WireError::Truncated)?;
        self.at = end;
        Ok(Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
    }

    fn step(&mut self, len: u64) -> Result<(), WireError> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(len) {
            Ok(len) if len <= left => {
                self.at += len;
                Ok(())
            }
            _ => Err(WireError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<WellFormed, WireError> {
        well_formed(bytes, 16, 1000)
    }

    #[test]
    fn every_shape_is_stepped_over() {
        for bytes in [
            &[0x00][..],
            &[0x19, 0x01, 0x00],
            &[0x43, 1, 2, 3],
            &[0x82, 0x01, 0x61, b'a'],
            &[0xa1, 0x61, b'k', 0x80],
            &[0xc1, 0x00],
            &[0x9f, 0x01, 0x02, 0xff],
            &[0x5f, 0x41, 0x01, 0x41, 0x02, 0xff],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xbf, 0x61, b'k', 0x9f, 0xff, 0xff],
            &[0x80],
            &[0x81, 0x80],
        ] {
            assert_eq!(walk(bytes).map(|found| found.len), Ok(bytes.len()), "{bytes:x?}");
        }
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        assert_eq!(
            walk(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Err(WireError::Truncated)
        );
        assert!(matches!(walk(&[0x9b, 0, 0, 1, 0, 0, 0, 0, 0]), Err(WireError::TooMuch { .. })));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut deep = vec![0x81; 16];
        deep.push(0x00);
        assert!(walk(&deep).is_ok());
        deep.insert(0, 0x81);
        assert!(matches!(walk(&deep), Err(WireError::TooMuch { .. })));
    }

    #[test]
    fn an_item_cut_anywhere_is_truncated() {
        let whole = [0xa2, 0x61, b'a', 0x82, 0x18, 0x20, 0x41, 9, 0x61, b'b', 0x9f, 0x01, 0xff];
        assert_eq!(walk(&whole).map(|found| found.len), Ok(whole.len()));
        for cut in 0..whole.len() {
            assert_eq!(walk(&whole[..cut]), Err(WireError::Truncated), "cut at {cut}");
        }
    }
}

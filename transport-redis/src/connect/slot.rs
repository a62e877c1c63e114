//! Which slot of a cluster a key belongs to.

const SLOTS: u16 = 16384;

/// The slot of a key: of what stands between its first `{` and the next `}`, if that is something.
pub(crate) fn slot(key: &str) -> u16 {
    let key = key.as_bytes();
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        Some(&rest[..close])
    });
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key)) % SLOTS
}

/// CRC-16 as XMODEM has it: polynomial 0x1021, beginning with 0, nothing reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn slots_are_those_that_a_server_says() {
        // CLUSTER KEYSLOT of Redis 7.0.
        for (key, is) in [("foo", 12182), ("bar", 5061), ("hello", 866), ("", 0)] {
            assert_eq!(slot(key), is, "{key}");
        }
    }

    #[test]
    fn a_tag_stands_for_its_key() {
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
    }

    #[test]
    fn an_empty_or_open_tag_is_part_of_the_key() {
        for key in ["foo{}{bar}", "foo{bar", "foo}bar{"] {
            assert_eq!(slot(key), crc16(key.as_bytes()) % SLOTS, "{key}");
        }
    }
}

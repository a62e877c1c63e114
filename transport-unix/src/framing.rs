//! Where one frame ends and the next begins: a length of four bytes before each, most significant
//! byte first.

use bytes::Bytes;

/// The bytes of the length before each frame.
pub(crate) const PREFIX: usize = 4;

/// What stands in a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How many bytes the whole frames at its front take, lengths included.
    pub(crate) whole: usize,
    /// How many bytes the frame after those lacks, as far as can be told; 0 if none has begun.
    pub(crate) missing: usize,
    /// The length of the last frame of which the length is known.
    pub(crate) last: usize,
    /// The length that the frame after the whole ones claims, if it is over the limit, and that limit.
    pub(crate) too_long: Option<(usize, usize)>,
}

/// The lengths that frames may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameLimits {
    /// The next one.
    pub(crate) first: usize,
    /// Those after it.
    pub(crate) rest: usize,
}

/// Finds the whole frames in what was read.
pub(crate) fn cut(buffer: &[u8], limits: FrameLimits) -> Cut {
    let mut cut = Cut::default();
    loop {
        let rest = &buffer[cut.whole..];
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
            cut.missing = if rest.is_empty() { 0 } else { PREFIX - rest.len() };
            return cut;
        };
        let len = u32::from_be_bytes(*prefix) as usize;
        let limit = if cut.whole == 0 { limits.first } else { limits.rest };
        if len > limit {
            cut.too_long = Some((len, limit));
            return cut;
        }
        cut.last = len;
        if rest.len() < len {
            cut.missing = len - rest.len();
            return cut;
        }
        cut.whole += PREFIX + len;
    }
}

/// The frames in bytes that [`cut`] found whole: slices, not copies.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: Bytes,
    at: usize,
}

impl Frames {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Frames { bytes, at: 0 }
    }
}

impl Iterator for Frames {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let (prefix, rest) = self.bytes.get(self.at..)?.split_first_chunk::<PREFIX>()?;
        let len = u32::from_be_bytes(*prefix) as usize;
        if rest.len() < len {
            return None;
        }
        let start = self.at + PREFIX;
        self.at = start + len;
        Some(self.bytes.slice(start..self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: FrameLimits = FrameLimits { first: 100, rest: 100 };

    fn frames(bytes: &'static [u8]) -> Vec<Bytes> {
        Frames::new(Bytes::from_static(bytes)).collect()
    }

    #[test]
    fn nothing_is_no_frame() {
        assert_eq!(cut(b"", LIMIT), Cut::default());
        assert!(frames(b"").is_empty());
    }

    #[test]
    fn half_a_length_lacks_the_other_half() {
        assert_eq!(cut(b"\0\0", LIMIT), Cut { missing: 2, ..Cut::default() });
    }

    #[test]
    fn half_a_frame_lacks_the_rest() {
        let cut = cut(b"\0\0\0\x05ab", LIMIT);
        assert_eq!(cut, Cut { missing: 3, last: 5, ..Cut::default() });
    }

    #[test]
    fn whole_frames_are_found_before_half_a_one() {
        let bytes = b"\0\0\0\x02ab\0\0\0\x01c\0\0\0\x03d";
        let cut = cut(bytes, LIMIT);
        assert_eq!(cut, Cut { whole: 11, missing: 2, last: 3, too_long: None });
        assert_eq!(frames(&bytes[..11]), ["ab", "c"]);
    }

    #[test]
    fn an_empty_frame_is_whole() {
        assert_eq!(cut(b"\0\0\0\0", LIMIT), Cut { whole: 4, ..Cut::default() });
        assert_eq!(frames(b"\0\0\0\0"), [""]);
    }

    #[test]
    fn a_length_over_the_limit_is_named_and_what_came_before_is_kept() {
        let cut = cut(b"\0\0\0\x01a\xff\xff\xff\xff", LIMIT);
        assert_eq!((cut.whole, cut.too_long), (5, Some((0xffff_ffff, 100))));
        assert_eq!(super::cut(b"\0\0\0\x64", LIMIT).too_long, None);
        assert_eq!(super::cut(b"\0\0\0\x65", LIMIT).too_long, Some((101, 100)));
    }

    #[test]
    fn the_first_frame_has_a_limit_of_its_own() {
        let limits = FrameLimits { first: 1, rest: 2 };
        assert_eq!(cut(b"\0\0\0\x02", limits).too_long, Some((2, 1)));
        assert_eq!(cut(b"\0\0\0\x01a\0\0\0\x02", limits).too_long, None);
        assert_eq!(cut(b"\0\0\0\x01a\0\0\0\x03", limits).too_long, Some((3, 2)));
    }

    #[test]
    fn frames_share_the_buffer_they_were_read_into() {
        let bytes = Bytes::from(b"\0\0\0\x02ab".to_vec());
        let at = bytes[4..].as_ptr();
        assert_eq!(Frames::new(bytes).next().unwrap().as_ptr(), at);
    }
}

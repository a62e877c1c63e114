//! Frames of the raw peers: a length in four bytes, big-endian, and that many bytes of payload.

/// Bytes in front of a payload.
const HEADER: usize = 4;

/// How much is read or written at once, if there is as much: a few of the largest payloads measured
/// by default.
const CHUNK: usize = 256 * 1024;

/// What was received and not yet consumed: whole frames, and the beginning of one more.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    filled: usize,
}

/// The whole frames at the head of a [`FrameBuffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    /// How many they are.
    pub(crate) frames: usize,
    /// How many bytes they take, headers included.
    pub(crate) bytes: usize,
}

impl FrameBuffer {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        FrameBuffer { bytes: vec![0; CHUNK], filled: 0 }
    }

    /// Where to read into; never empty. [`FrameBuffer::fill`] follows.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            self.bytes.resize(2 * self.filled, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Takes note of bytes that were read into the space.
    pub(crate) fn fill(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// The whole frames that have been received.
    pub(crate) fn whole(&self) -> Whole {
        let mut whole = Whole { frames: 0, bytes: 0 };
        let mut rest = &self.bytes[..self.filled];
        while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
            let length = u32::from_be_bytes(*header) as usize;
            let Some(next) = after.get(length..) else { break };
            whole.frames += 1;
            whole.bytes += HEADER + length;
            rest = next;
        }
        whole
    }

    /// The first bytes received.
    pub(crate) fn head(&self, bytes: usize) -> &[u8] {
        &self.bytes[..bytes]
    }

    /// Forgets the first bytes received.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.bytes.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }
}

/// A number of equal frames to be written one after another, held as a chunk that is written
/// repeatedly: a batch of all of them would fall out of the processor's cache when payloads are
/// large.
#[derive(Debug)]
pub(crate) struct Batch {
    chunk: Vec<u8>,
    frame: usize,
    frames: usize,
}

impl Batch {
    /// A batch of `frames` frames with this payload.
    ///
    /// # Panics
    ///
    /// When the payload's length does not fit in the header.
    pub(crate) fn new(payload: &[u8], frames: usize) -> Self {
        let length = u32::try_from(payload.len()).expect("payloads are shorter than 4 GiB");
        let frame = [&length.to_be_bytes(), payload].concat();
        let together = (CHUNK / frame.len()).clamp(1, frames);
        Batch { chunk: frame.repeat(together), frame: frame.len(), frames }
    }

    /// How many frames the batch has.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// How many bytes the batch has.
    pub(crate) fn bytes(&self) -> usize {
        self.frames * self.frame
    }

    /// One frame of the batch.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.chunk[..self.frame]
    }

    /// What to write, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.bytes() / self.chunk.len();
        let rest = &self.chunk[..self.bytes() % self.chunk.len()];
        std::iter::repeat_n(&*self.chunk, whole).chain((!rest.is_empty()).then_some(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut FrameBuffer, bytes: &[u8]) {
        buffer.space()[..bytes.len()].copy_from_slice(bytes);
        buffer.fill(bytes.len());
    }

    #[test]
    fn the_beginning_of_a_frame_waits_for_its_rest() {
        let batch = Batch::new(b"abc", 2);
        let bytes: Vec<u8> = batch.pieces().flatten().copied().collect();
        let mut buffer = FrameBuffer::new();
        receive(&mut buffer, &bytes[..9]);
        assert_eq!(buffer.whole(), Whole { frames: 1, bytes: 7 });
        buffer.consume(7);
        receive(&mut buffer, &bytes[9..]);
        assert_eq!(buffer.whole(), Whole { frames: 1, bytes: 7 });
        assert_eq!(buffer.head(7), batch.frame());
    }

    #[test]
    fn a_frame_larger_than_the_buffer_makes_it_grow() {
        let batch = Batch::new(&vec![7; 3 * CHUNK], 1);
        let mut buffer = FrameBuffer::new();
        let mut sent = batch.frame();
        while !sent.is_empty() {
            let read = sent.len().min(buffer.space().len());
            receive(&mut buffer, &sent[..read]);
            sent = &sent[read..];
        }
        assert_eq!(buffer.whole().frames, 1);
    }

    #[test]
    fn the_pieces_of_a_batch_are_all_its_frames() {
        for (size, frames) in [(32, 1), (32, 1024), (1024, 1000), (65536, 64), (2 * CHUNK, 3)] {
            let batch = Batch::new(&vec![1; size], frames);
            assert_eq!(batch.pieces().map(<[u8]>::len).sum::<usize>(), frames * (HEADER + size));
        }
    }
}

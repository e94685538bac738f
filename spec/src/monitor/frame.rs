//! Frames: cut from a stream, and put into one.

use std::fmt;

/// Greatest length of kind and payload together, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes of the length.
const HEAD: usize = 4;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JSON object.
    Message = 0,
    /// A program's standard input.
    Input = 1,
    /// A program's standard output; all that comes from a terminal.
    Output = 2,
    /// A program's standard error.
    Error = 3,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Message, Self::Input, Self::Output, Self::Error].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// Its bytes, [`MAX_FRAME`] − 1 at most.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The frames of some bytes: one, or several when they are many and of a stream.
    pub fn encode(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let most = MAX_FRAME - 1;
        let pieces = payload.chunks(most).chain(payload.is_empty().then_some(payload));
        let mut bytes = Vec::with_capacity(payload.len() + HEAD + 1);
        for piece in pieces {
            // At most MAX_FRAME, which is far below 2³².
            bytes.extend((piece.len() as u32 + 1).to_be_bytes());
            bytes.push(kind as u8);
            bytes.extend(piece);
        }
        bytes
    }
}

/// What is no frame: the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A length of zero or above [`MAX_FRAME`].
    Length(u32),
    /// An unknown kind.
    Kind(u8),
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(out, "a frame of {length} bytes: there are 1 to {MAX_FRAME}"),
            Self::Kind(kind) => write!(out, "a frame of the unknown kind {kind}"),
        }
    }
}

impl std::error::Error for Wrong {}

/// Cuts frames from a stream that comes in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next frame, when all of it is there.
    ///
    /// # Errors
    /// What the stream holds is no frame; it is told as soon as the length is there, before
    /// memory is taken for it.
    pub fn frame(&mut self) -> Result<Option<Frame>, Wrong> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head);
        if length == 0 || length as usize > MAX_FRAME {
            return Err(Wrong::Length(length));
        }
        let Some((&kind, _)) = rest.split_first() else { return Ok(None) };
        let kind = Kind::of(kind).ok_or(Wrong::Kind(kind))?;
        let end = HEAD + length as usize;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let rest = self.bytes.split_off(end);
        let payload = std::mem::replace(&mut self.bytes, rest).split_off(HEAD + 1);
        Ok(Some(Frame { kind, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut() {
        let frames = [(Kind::Message, &b"{}"[..]), (Kind::Output, b""), (Kind::Error, b"no such file\n")];
        let stream: Vec<u8> = frames.iter().flat_map(|(kind, bytes)| Frame::encode(*kind, bytes)).collect();
        for piece in [1, 2, 3, 7, stream.len()] {
            let mut reader = Reader::default();
            let mut seen = Vec::new();
            for bytes in stream.chunks(piece) {
                reader.push(bytes);
                while let Some(frame) = reader.frame().unwrap() {
                    seen.push(frame);
                }
            }
            let expected = frames.map(|(kind, bytes)| Frame { kind, payload: bytes.to_vec() });
            assert_eq!(seen, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn many_bytes_become_several_frames() {
        let bytes: Vec<u8> = (0..MAX_FRAME * 2).map(|number| number as u8).collect();
        let mut reader = Reader::default();
        reader.push(&Frame::encode(Kind::Input, &bytes));
        let mut back = Vec::new();
        while let Some(frame) = reader.frame().unwrap() {
            assert!(frame.kind == Kind::Input && frame.payload.len() < MAX_FRAME);
            back.extend(frame.payload);
        }
        assert_eq!(back, bytes);
    }

    #[test]
    fn what_is_no_frame_is_refused_at_its_first_bytes() {
        for (bytes, wrong) in [
            (&[0, 0, 0, 0][..], Wrong::Length(0)),
            (&[0xff, 0xff, 0xff, 0xff], Wrong::Length(u32::MAX)),
            (&[0, 0, 0, 9, 4], Wrong::Kind(4)),
        ] {
            let mut reader = Reader::default();
            reader.push(bytes);
            assert_eq!(reader.frame(), Err(wrong));
        }
    }
}

//! Compression of a page in parts, so that what has not changed since an earlier page need not be compressed again.
//!
//! gzip: many clients read only the first member of a gzip file, so all parts are one member: a header, then for each part raw deflate blocks
//! up to a flush, the last one's to the end, then one trailer over all. zstd: one frame for each part, which RFC 8878 defines to be the
//! concatenation.

use std::io;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use zstd::stream::raw::{Encoder, InBuffer, Operation as _, OutBuffer};

use crate::negotiation::Encoding;

/// Level 1 of either: what a scrape saves on the wire above it is less than what it costs in time.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// RFC 1952: magic, deflate, no flags, no time, fastest, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// An output grows by at least so much.
const ROOM: usize = 4 * 1024;

/// What has been made of a part.
#[derive(Debug, Default)]
pub struct Part {
    /// What to send.
    pub bytes: Vec<u8>,
    /// Checksum and length of what went in; empty unless it is gzip.
    pub crc: Crc,
}

/// Compresses one part after the other. Its memory, a quarter of a megabyte and more, is used again for each.
pub struct Compressor(State);

enum State {
    Plain,
    Gzip(Compress),
    Zstd(Encoder<'static>),
}

/// What stands before all parts.
pub fn header(encoding: Encoding) -> Option<Bytes> {
    (encoding == Encoding::Gzip).then_some(Bytes::from_static(&GZIP_HEADER))
}

impl Compressor {
    /// One for this encoding.
    ///
    /// # Errors
    /// Only zstd's, when it cannot have memory.
    pub fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(Self(match encoding {
            Encoding::Identity => State::Plain,
            Encoding::Gzip => State::Gzip(Compress::new(Compression::new(GZIP_LEVEL), false)),
            Encoding::Zstd => State::Zstd(Encoder::new(ZSTD_LEVEL)?),
        }))
    }

    /// Adds a piece to a part, and empties the piece.
    pub fn add(&mut self, part: &mut Part, piece: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            State::Plain if part.bytes.is_empty() => std::mem::swap(&mut part.bytes, piece),
            State::Plain => part.bytes.append(piece),
            State::Gzip(stream) => {
                part.crc.update(piece);
                deflate(stream, piece, &mut part.bytes, FlushCompress::None)?;
            }
            State::Zstd(encoder) => {
                let mut input = InBuffer::around(piece);
                while input.pos() < input.src.len() {
                    into_room(&mut part.bytes, piece.len() / 8, |output| encoder.run(&mut input, output))?;
                }
            }
        }
        piece.clear();
        Ok(())
    }

    /// Ends a part that others follow.
    pub fn end(&mut self, part: &mut Part) -> io::Result<()> {
        match &mut self.0 {
            State::Plain => {}
            State::Gzip(stream) => {
                if part.crc.amount() > 0 {
                    deflate(stream, &[], &mut part.bytes, FlushCompress::Sync)?;
                }
                stream.reset();
            }
            State::Zstd(encoder) => end_frame(encoder, &mut part.bytes)?,
        }
        Ok(())
    }

    /// Compresses the last part of a page, to be sent right behind the others; `crc` is over those.
    pub fn last(&mut self, mut text: Vec<u8>, crc: &Crc) -> io::Result<Vec<u8>> {
        let mut part = Part::default();
        match &mut self.0 {
            State::Plain => return Ok(text),
            State::Gzip(stream) => {
                part.crc.update(&text);
                part.bytes.reserve(text.len() / 4 + 64);
                deflate(stream, &text, &mut part.bytes, FlushCompress::Finish)?;
                stream.reset();
                let mut whole = Crc::new();
                whole.combine(crc);
                whole.combine(&part.crc);
                part.bytes.extend_from_slice(&whole.sum().to_le_bytes());
                part.bytes.extend_from_slice(&whole.amount().to_le_bytes());
            }
            State::Zstd(_) => {
                self.add(&mut part, &mut text)?;
                self.end(&mut part)?;
            }
        }
        Ok(part.bytes)
    }
}

/// Ends a frame, and begins another one.
fn end_frame(encoder: &mut Encoder<'static>, out: &mut Vec<u8>) -> io::Result<()> {
    while into_room(out, 0, |output| encoder.finish(output, true))? > 0 {}
    encoder.reinit()
}

/// Appends what `write` writes into the room behind `out`.
fn into_room<T>(
    out: &mut Vec<u8>,
    expected: usize,
    write: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<T>,
) -> io::Result<T> {
    if out.capacity() - out.len() < ROOM {
        out.reserve(expected.max(ROOM));
    }
    let end = out.len();
    write(&mut OutBuffer::around_pos(out, end))
}

/// Appends `input` to a raw deflate stream.
fn deflate(stream: &mut Compress, mut input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> io::Result<()> {
    loop {
        if out.capacity() - out.len() < 512 {
            out.reserve((input.len() / 8).max(ROOM));
        }
        let before = stream.total_in();
        let status = stream.compress_vec(input, out, flush).map_err(io::Error::other)?;
        let taken = usize::try_from(stream.total_in() - before).unwrap_or(input.len());
        input = input.get(taken..).unwrap_or_default();
        let room_left = out.len() < out.capacity();
        let done = match flush {
            FlushCompress::Finish => status == flate2::Status::StreamEnd,
            // All output is written only once zlib leaves room unused.
            _ => input.is_empty() && room_left,
        };
        if done {
            return Ok(());
        }
    }
}

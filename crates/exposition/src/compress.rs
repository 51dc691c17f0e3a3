//! Compression of a page in two parts, so that the large part is compressed once a generation and the small part,
//! that of the registry, on every scrape.
//!
//! gzip: many clients read only the first member of a gzip file, so both parts are one member: raw deflate blocks up
//! to a flush, then the blocks of the second part, then one trailer over both. zstd: one frame for each part, which
//! RFC 8878 defines to be the concatenation.

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::negotiation::Encoding;

/// Level 1 of either: what a scrape saves on the wire above it is less than what it costs in time.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// RFC 1952: magic, deflate, no flags, no time, fastest, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// The first part of a page, ready to be sent before any second part.
#[derive(Debug)]
pub struct FirstPart {
    /// What to send.
    pub bytes: Vec<u8>,
    /// Checksum and length of what went in; empty unless it is gzip.
    crc: Crc,
}

/// Compresses a first part, piece by piece.
pub struct PartCompressor(State);

enum State {
    Plain(Vec<u8>),
    Gzip { out: Vec<u8>, crc: Crc, deflate: Compress },
    // Boxed, since zstd's writer is much larger than the others.
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl PartCompressor {
    /// Begins a part.
    ///
    /// # Errors
    /// Only zstd's, when it cannot have memory.
    pub fn new(encoding: Encoding) -> std::io::Result<Self> {
        Ok(Self(match encoding {
            Encoding::Identity => State::Plain(Vec::new()),
            Encoding::Gzip => State::Gzip {
                out: GZIP_HEADER.to_vec(),
                crc: Crc::new(),
                deflate: Compress::new(Compression::new(GZIP_LEVEL), false),
            },
            Encoding::Zstd => State::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)),
        }))
    }

    /// Adds a piece and empties it.
    pub fn add(&mut self, piece: &mut Vec<u8>) -> std::io::Result<()> {
        match &mut self.0 {
            State::Plain(out) if out.is_empty() => std::mem::swap(out, piece),
            State::Plain(out) => out.append(piece),
            State::Gzip { out, crc, deflate: stream } => {
                crc.update(piece);
                deflate(stream, piece, out, FlushCompress::None)?;
            }
            State::Zstd(encoder) => std::io::Write::write_all(encoder, piece)?,
        }
        piece.clear();
        Ok(())
    }

    /// Ends the part.
    pub fn finish(self) -> std::io::Result<FirstPart> {
        let (mut bytes, crc) = match self.0 {
            // The caller decides how much spare room its buffer keeps.
            State::Plain(out) => return Ok(FirstPart { bytes: out, crc: Crc::new() }),
            State::Gzip { mut out, crc, deflate: mut stream } => {
                if crc.amount() > 0 {
                    deflate(&mut stream, &[], &mut out, FlushCompress::Full)?;
                }
                (out, crc)
            }
            State::Zstd(encoder) => (encoder.finish()?, Crc::new()),
        };
        bytes.shrink_to_fit();
        Ok(FirstPart { bytes, crc })
    }
}

/// Compresses the second and last part of a page, to be sent right behind `first`.
pub fn last_part(encoding: Encoding, first: &FirstPart, part: Vec<u8>) -> std::io::Result<Vec<u8>> {
    match encoding {
        Encoding::Identity => Ok(part),
        Encoding::Gzip => {
            let mut last = Crc::new();
            last.update(&part);
            let mut out = Vec::with_capacity(part.len() / 4 + 64);
            deflate(&mut Compress::new(Compression::new(GZIP_LEVEL), false), &part, &mut out, FlushCompress::Finish)?;
            let mut crc = Crc::new();
            crc.combine(&first.crc);
            crc.combine(&last);
            out.extend_from_slice(&crc.sum().to_le_bytes());
            out.extend_from_slice(&crc.amount().to_le_bytes());
            Ok(out)
        }
        Encoding::Zstd => zstd::bulk::compress(&part, ZSTD_LEVEL),
    }
}

/// Appends `input` to a raw deflate stream.
fn deflate(stream: &mut Compress, mut input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> std::io::Result<()> {
    loop {
        if out.capacity() - out.len() < 512 {
            out.reserve((input.len() / 4).max(16 * 1024));
        }
        let before = stream.total_in();
        let status = stream.compress_vec(input, out, flush).map_err(std::io::Error::other)?;
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

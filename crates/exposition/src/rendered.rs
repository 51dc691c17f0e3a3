//! A page as it was rendered last, unit by unit: a unit in which nothing has changed since is the same in the next page.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Crc;

use crate::compress::{self, Compressor, Part};
use crate::descriptor::Family;
use crate::family_series::CHUNK;
use crate::memory::{SeriesMemory, Unit};
use crate::negotiation::{Encoding, Format};

/// The series of a page in one format and encoding.
#[derive(Debug, Default)]
pub struct Rendered {
    /// Of the series that it shows.
    pub generation: u64,
    /// What to send, piece by piece.
    pub chunks: Arc<[Bytes]>,
    /// Checksum and length of all of it before it was compressed; empty unless it is gzip.
    pub crc: Arc<Crc>,
    units: Vec<RenderedUnit>,
}

#[derive(Debug)]
struct RenderedUnit {
    unit: Unit,
    bytes: Bytes,
    crc: Crc,
}

impl Rendered {
    /// The page as it is now, with what has not changed taken from the page before.
    ///
    /// # Errors
    /// Only the compressor's.
    pub fn of<F: Family, G: Family>(
        memory: &SeriesMemory<F, G>,
        before: Self,
        (format, encoding): (Format, Encoding),
        compressor: &mut Compressor,
    ) -> io::Result<Self> {
        let Self { chunks, units: before, .. } = before;
        // Units that nobody reads are written over, and what is kept here of them is no reading.
        drop(chunks);
        let mut before = before.into_iter().peekable();
        let mut text = Vec::new();
        let mut units = Vec::new();
        for unit in memory.units(format) {
            while before.next_if(|old| old.unit.blocks.first() < unit.blocks.first()).is_some() {}
            let old = before.next_if(|old| old.unit.blocks.first() == unit.blocks.first());
            units.push(match old {
                Some(old) if old.unit == unit => old,
                old => {
                    let mut part = Part::default();
                    if encoding == Encoding::Identity {
                        text = written_over(old.map(|old| old.bytes).unwrap_or_default());
                    }
                    let mut failed = Ok(());
                    memory.write(&mut text, &unit, format, &mut |piece| {
                        if encoding != Encoding::Identity && failed.is_ok() {
                            failed = compressor.add(&mut part, piece);
                        }
                    });
                    failed?;
                    compressor.add(&mut part, &mut text)?;
                    compressor.end(&mut part)?;
                    RenderedUnit { unit, crc: part.crc, bytes: tight(part.bytes).into() }
                }
            });
        }
        let mut crc = Crc::new();
        if encoding == Encoding::Gzip {
            for unit in &units {
                crc.combine(&unit.crc);
            }
        }
        let chunks =
            compress::header(encoding).into_iter().chain(units.iter().map(|unit| unit.bytes.clone())).collect();
        Ok(Self { generation: memory.generation(), chunks, crc: Arc::new(crc), units })
    }
}

/// An empty buffer for a unit much like `old`. If nobody is reading the old one any more, it is its own: fresh memory costs more than
/// writing it.
fn written_over(old: Bytes) -> Vec<u8> {
    let length = old.len();
    let buffer = old.try_into_mut().map_or_else(
        |_| Vec::new(),
        |mut page| {
            // Before it becomes a vector, so that nothing is copied.
            page.clear();
            page.into()
        },
    );
    if buffer.capacity() > length {
        buffer
    } else {
        Vec::with_capacity(if length == 0 { CHUNK } else { with_room(length) })
    }
}

/// Without much room that nothing uses.
fn tight(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.capacity() / 16 * 15 > bytes.len() {
        bytes.shrink_to(with_room(bytes.len()));
    }
    bytes
}

/// Room for a unit that has grown a little since it was `length` bytes long.
const fn with_room(length: usize) -> usize {
    length + length / 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_written_over_once_nobody_reads_it() {
        let page = |length, capacity| {
            let mut bytes = Vec::with_capacity(capacity);
            bytes.resize(length, b'x');
            Bytes::from(bytes)
        };
        let old = page(640, 9_000);
        let reader = old.clone();
        assert_eq!(written_over(old).capacity(), 650);
        assert!(reader.iter().all(|byte| *byte == b'x'));
        let buffer = written_over(reader);
        assert_eq!((buffer.capacity(), buffer.len()), (9_000, 0));
        assert_eq!(written_over(page(640, 640)).capacity(), 650, "without room it would have to grow by doubling");
    }
}

//! Lines read from a file: all of them, in the order and with the bytes that they were written with, or none.

use std::io::BufRead;

use super::error::UpkeepError;
use super::lines::{FORMAT, Line};
use super::output::hexadecimal;
use super::{PROGRESS_EVERY, Progress};

/// A line is a series at most, and its labels are bounded; what is longer is no export.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Why a store does not take a line.
#[derive(Debug)]
pub(in crate::ledger) enum Refusal {
    /// It is the line's fault: what is wrong with it.
    Line(String),
    /// It is the store's.
    Store(UpkeepError),
}

impl From<UpkeepError> for Refusal {
    fn from(error: UpkeepError) -> Self {
        Self::Store(error)
    }
}

/// Reads a whole export, and gives what lies between the first and the last line to `write`, which must not keep it before all
/// of it was read. `progress` gets the number of lines now and then. Gives the number of lines.
///
/// # Errors
/// If the lines are not a whole export of this or an older format, or `write` fails.
pub(in crate::ledger) fn read_all(
    from: &mut dyn BufRead,
    progress: &mut Progress<'_>,
    write: &mut dyn FnMut(Line) -> Result<(), Refusal>,
) -> Result<u64, UpkeepError> {
    let (mut number, mut ended, mut text) = (0, false, Vec::new());
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    loop {
        text.clear();
        let read = std::io::Read::take(&mut *from, LONGEST_LINE).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        let wrong = |detail: String| UpkeepError::Line { line: number + 1, detail };
        if ended {
            return Err(wrong("it comes after the closing line".into()));
        }
        let line = Line::read(&text).map_err(wrong)?;
        match (number, &line) {
            (0, Line::AgntixExporterState { format, .. }) if *format <= FORMAT => {}
            (0, Line::AgntixExporterState { format, version, .. }) => {
                return Err(wrong(format!(
                    "its format is {format}, written by version {version}, and this version knows up to {FORMAT}: import it with that version or a newer one"
                )));
            }
            (0, _) => return Err(wrong("the first line must name the format".into())),
            (_, Line::AgntixExporterState { .. }) => return Err(wrong("it is a second first line".into())),
            (_, Line::End { lines, .. }) if *lines != number => {
                return Err(wrong(format!("it closes {lines} lines, but there are {number}")));
            }
            (_, Line::End { sha256, .. }) if *sha256 != hexadecimal(digest.clone()) => {
                return Err(wrong("the lines before it are not those that it closes".into()));
            }
            (_, Line::End { .. }) => ended = true,
            _ => line.check().map_err(Refusal::Line).and_then(|()| write(line)).map_err(|refusal| match refusal {
                Refusal::Line(detail) => wrong(detail),
                Refusal::Store(error) => error,
            })?,
        }
        digest.update(&text);
        number += 1;
        if number.is_multiple_of(PROGRESS_EVERY) {
            progress(number);
        }
    }
    if ended { Ok(number) } else { Err(UpkeepError::CutShort { line: number }) }
}

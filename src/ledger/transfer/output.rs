//! Lines written to a file.

use std::io::Write;

use super::error::UpkeepError;
use super::lines::{FORMAT, Line};
use super::{PROGRESS_EVERY, Progress};

/// Where the lines go.
pub(in crate::ledger) struct Output<'o> {
    to: &'o mut dyn Write,
    lines: u64,
    digest: ring::digest::Context,
    progress: &'o mut Progress<'o>,
}

impl<'o> Output<'o> {
    /// Writes the first line. `progress` gets the number of lines now and then.
    pub(in crate::ledger) fn begin(
        to: &'o mut dyn Write,
        progress: &'o mut Progress<'o>,
        salvaged: bool,
    ) -> Result<Self, UpkeepError> {
        let mut out = Self { to, lines: 0, digest: ring::digest::Context::new(&ring::digest::SHA256), progress };
        let version = env!("CARGO_PKG_VERSION").into();
        out.line(&Line::AgntixExporterState { format: FORMAT, version, salvaged })?;
        Ok(out)
    }

    /// Writes a line.
    pub(in crate::ledger) fn line(&mut self, line: &Line) -> Result<(), UpkeepError> {
        let text = line.sealed().map_err(std::io::Error::from)?;
        self.digest.update(&text);
        self.to.write_all(&text)?;
        self.lines += 1;
        if self.lines.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.lines);
        }
        Ok(())
    }

    /// Writes the closing line, and gives the number of lines.
    pub(in crate::ledger) fn end(mut self) -> Result<u64, UpkeepError> {
        let sha256 = hexadecimal(self.digest.clone());
        self.line(&Line::End { lines: self.lines, sha256 })?;
        self.to.flush()?;
        Ok(self.lines)
    }
}

/// A digest as text.
pub(in crate::ledger) fn hexadecimal(digest: ring::digest::Context) -> String {
    let digest = digest.finish();
    let (halves, _) = digest.as_ref().as_chunks::<16>();
    halves.iter().map(|half| u128::from_be_bytes(*half)).fold(String::new(), |text, half| format!("{text}{half:032x}"))
}

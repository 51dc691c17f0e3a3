//! The script that imports the files.

use super::arguments::FileFormat;

/// The script for a format.
pub(super) const fn script(format: FileFormat) -> &'static str {
    match format {
        FileFormat::OpenMetrics => include_str!("import/openmetrics.sh"),
        FileFormat::VictoriaMetrics => include_str!("import/victoriametrics.sh"),
    }
}

/// Its name in the output.
pub(super) const NAME: &str = "import.sh";

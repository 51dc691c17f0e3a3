//! What can be wrong with a web configuration file, as one sentence that says where it is and what to do.

use std::path::{Path, PathBuf};

/// Why a web configuration file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebConfigError {
    /// The file does not exist, may not be read, or is not text.
    #[error("the web configuration file {} cannot be read: {reason}; check the path and the permissions", .file.display())]
    Unreadable {
        /// As it was named.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not YAML.
    #[error("{}, line {line}: this is not valid YAML: {reason}", .file.display())]
    Syntax {
        /// As it was named.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said; never the text of the line.
        reason: String,
    },
    /// A key or a value is wrong.
    #[error("{}, line {line}: {what}", .file.display())]
    Content {
        /// As it was named.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Key, value as far as it may be shown, and rule.
        what: String,
    },
}

/// A mistake in the content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub line: usize,
    pub what: String,
}

impl Mistake {
    /// On this line.
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }

    /// In this file.
    pub(super) fn in_file(self, file: &Path) -> WebConfigError {
        WebConfigError::Content { file: file.to_owned(), line: self.line, what: self.what }
    }
}

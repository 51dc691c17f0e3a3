//! libfaketime: another clock for a daemon, without touching the machine's.

use std::path::Path;

/// What `LD_PRELOAD` has to name. A missing library fails the test: one that skips itself proves nothing.
pub fn library() -> String {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "this test needs {library}: install the Debian package libfaketime");
    library
}

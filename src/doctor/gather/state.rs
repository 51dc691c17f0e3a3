//! A look at the state directory, without a lock and without writing.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::bounded;
use crate::doctor::state::StateSeen;
use crate::ledger::upkeep;

/// Looks at the state in `directory`; `None` if the disk does not answer.
pub(super) async fn look(directory: PathBuf) -> Option<StateSeen> {
    bounded(move || {
        let exists = directory.exists();
        let place = existing(&directory);
        let room = statvfs(&place).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let writable = writable(&place, exists);
        let glance = upkeep::glance(&directory).map_err(|error| error.to_string());
        StateSeen { directory, exists, writable, glance, room }
    })
    .await
}

/// The directory, or the nearest one above it that is there.
fn existing(directory: &Path) -> PathBuf {
    let above = directory.ancestors().find(|path| !path.as_os_str().is_empty() && path.exists());
    above.unwrap_or(Path::new(".")).to_owned()
}

fn writable(place: &Path, exists: bool) -> Result<(), String> {
    if !place.is_dir() {
        return Err(format!("{} is no directory", place.display()));
    }
    let may = |path: &Path, how: Access| {
        access(path, how).map_err(|error| {
            let reason = std::io::Error::from(error);
            if path == place { reason.to_string() } else { format!("{}: {reason}", path.display()) }
        })
    };
    may(place, Access::WRITE_OK | Access::EXEC_OK)?;
    if !exists {
        return Ok(());
    }
    // What another user has made, such as root at a first try, is there and cannot be written.
    let entries = std::fs::read_dir(place).map_err(|error| error.to_string())?;
    for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ledger.sqlite")) {
        may(&entry.path(), Access::READ_OK | Access::WRITE_OK)?;
    }
    Ok(())
}

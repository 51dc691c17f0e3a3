//! A look at the state directory, without a lock and without writing.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::bounds::bounded;
use crate::doctor::state::StateSeen;
use crate::ledger::sqlite::{neighbours, upkeep};

/// Looks at the state in `directory`; `None` if the disk does not answer.
pub(super) async fn look(directory: PathBuf) -> Option<StateSeen> {
    bounded(move || {
        let exists = directory.exists();
        let above = existing(&directory);
        let room = statvfs(&above).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let writable = writable(&above, exists);
        let glance = upkeep::glance(&directory).map_err(|error| error.to_string());
        let place = neighbours::look(&directory);
        let removed_under = removed_under(&place.directory);
        StateSeen { directory, exists, writable, glance, room, place, removed_under }
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
    // Files that another user has made, such as root at a first try, exist but cannot be written.
    let entries = std::fs::read_dir(place).map_err(|error| error.to_string())?;
    for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ledger.sqlite")) {
        may(&entry.path(), Access::READ_OK | Access::WRITE_OK)?;
    }
    Ok(())
}

/// A process that still has the state file open although it was removed from the directory. Processes of other users cannot
/// be checked.
fn removed_under(directory: &Path) -> Option<i32> {
    let file = directory.join("ledger.sqlite");
    // As the system marks a file that was removed (proc_pid_fd(5)).
    let removed = [file.as_os_str().as_encoded_bytes(), b" (deleted)"].concat();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    processes.find(|process| {
        let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
        let mut links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.any(|link| link.as_os_str().as_encoded_bytes() == removed)
    })
}

//! What the ledger asks of the operating system and Linux answers differently from others. Nothing else of the ledger asks which system
//! it is on.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// The time since the machine has started, the time that it slept included. The clock of [`std::time::Instant`] stands still
/// while a machine is suspended.
pub(super) fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    // Apple's goes on while the machine sleeps (clock_gettime(3) of macOS).
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// A handle that keeps a file's number from being given to another file, and cannot read it: closing one that can would give up
/// `SQLite`'s locks (<https://www.sqlite.org/howtocorrupt.html>, 2.2).
#[cfg(target_os = "linux")]
pub(super) fn hold(path: &Path) -> std::io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::PATH.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path).map(Some)
}

/// Elsewhere there is no such handle. Apple's file system gives no number twice.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "on Linux it may fail")]
pub(super) fn hold(_path: &Path) -> std::io::Result<Option<File>> {
    Ok(None)
}

/// Whether what is in a directory goes with the container or at the next boot: it is in a container's own layer, or in memory. Known
/// on Linux only.
pub(super) fn goes_with_its_process(directory: &Path) -> bool {
    file_system(directory).is_some_and(is_a_containers_or_in_memory)
}

const fn is_a_containers_or_in_memory(file_system: u64) -> bool {
    const OVERLAY: u64 = 0x794c_7630;
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    matches!(file_system, OVERLAY | TMPFS | RAMFS)
}

/// Whether a file is on a file system of this machine's own kernel, where the time of a write is that of the write. A network's may be
/// corrected by its server later, which would look like somebody else's write. Known on Linux only.
pub(super) fn tells_writes_exactly(path: &Path) -> bool {
    file_system(path).is_some_and(is_of_this_kernel)
}

const fn is_of_this_kernel(file_system: u64) -> bool {
    const EXT: u64 = 0xEF53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683E;
    const F2FS: u64 = 0xF2F5_2010;
    const TMPFS: u64 = 0x0102_1994;
    matches!(file_system, EXT | XFS | BTRFS | F2FS | TMPFS)
}

/// The kind of the file system that a path is on, as statfs(2) of Linux names it. The numbers of other systems mean something else.
fn file_system(path: &Path) -> Option<u64> {
    if cfg!(not(target_os = "linux")) {
        return None;
    }
    u64::try_from(rustix::fs::statfs(path).ok()?.f_type).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_file_systems_tell_times_exactly() {
        assert!(is_of_this_kernel(0xEF53));
        // NFS, FUSE, 9p.
        for network in [0x6969, 0x6573_5546, 0x0102_1997] {
            assert!(!is_of_this_kernel(network));
        }
    }

    #[test]
    fn a_containers_own_layer_goes_with_it() {
        assert!(is_a_containers_or_in_memory(0x794c_7630) && !is_a_containers_or_in_memory(0xEF53));
    }

    #[test]
    fn uptime_rises() {
        let first = uptime();
        assert!(first > Duration::ZERO && uptime() >= first);
    }
}

//! The right of a group to the files of a state.
//!
//! Where the group of the state's directory may write to it, whoever starts the exporter there next may be another user of that
//! group: `OpenShift` gives each namespace users of its own, and a volume may be restored into another one. So the files of the
//! state may then be read and written by that group, whatever the umask is. In a directory of one user's nothing changes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The bit of a directory whose group may make files in it.
const GROUP_WRITES: u32 = 0o020;
/// What the group may then do with a file.
const GROUP_USES: u32 = 0o060;

/// Gives the group the right to `file`, which this process has just made, if it may write to `directory`. SQLite makes the log
/// with the rights of its file. A disk that knows no rights gives none: then this process, at least, can go on.
pub(in crate::ledger::sqlite) fn share(file: &Path, directory: &Path) {
    let rights = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    let (Ok(given), Ok(mode)) = (rights(directory), rights(file)) else { return };
    if given & GROUP_WRITES != 0 && mode & GROUP_USES != GROUP_USES {
        let _ = std::fs::set_permissions(file, Permissions::from_mode(mode | GROUP_USES));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{begin, mark, schema};
    use super::*;

    fn rights(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// The rights of the state and of its mark, begun in a directory with these.
    fn rights_in(mode: u32) -> [u32; 2] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        assert!(begin::begin(directory.path()).unwrap());
        mark::Mark::open(directory.path()).unwrap();
        [schema::file_in(directory.path()), directory.path().join(mark::FILE)].map(|file| rights(&file))
    }

    #[test]
    fn files_are_of_the_group_where_the_directory_is() {
        for mode in [0o770, 0o775, 0o2770] {
            for rights in rights_in(mode) {
                assert_eq!(rights & GROUP_USES, GROUP_USES, "{rights:o} in {mode:o}");
                assert_eq!(rights & 0o002, 0, "others may write: {rights:o} in {mode:o}");
            }
        }
        for mode in [0o700, 0o755] {
            for rights in rights_in(mode) {
                assert_eq!(rights & GROUP_WRITES, 0, "{rights:o} in {mode:o}");
            }
        }
    }

    #[test]
    fn the_log_has_the_rights_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o2770)).unwrap();
        begin::begin(directory.path()).unwrap();
        let (connection, checksums) = schema::open(directory.path()).unwrap();
        checksums.begin(&connection).unwrap();
        let path = schema::file_in(directory.path());
        assert_eq!(rights(&schema::log_of(&path)), rights(&path));
    }
}

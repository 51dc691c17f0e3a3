//! What the machine offers: the directory of the state, the disk, and the addresses to listen on.

use std::path::Path;

use super::Finding;

const STATE: &str = "state";
const MIB: u64 = 1 << 20;
/// Below this not even the next hour's counts are sure of a place.
const NO_ROOM: u64 = 16 * MIB;
/// Below this it is time to look: the write-ahead log, a migration or a compaction may need it.
const LITTLE_ROOM: u64 = 256 * MIB;

/// What was found where the state is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// No directory; whether the one above it lets it be made.
    Missing {
        /// Whether it can be made.
        can_be_made: bool,
    },
    /// It is a file, or cannot be looked into.
    NoDirectory,
    /// A directory that this user cannot read and write.
    Forbidden,
    /// A directory without a state.
    Empty,
    /// A state of this format.
    Format {
        /// As the file says.
        found: i64,
        /// What this version writes.
        known: i64,
    },
}

/// Judges the directory, before the state in it is opened. `user` names who asked.
pub fn state(path: &Path, place: &StatePlace) -> Finding {
    let shown = path.display();
    let own = "let this user (the one that the exporter runs as) own the directory, or set another state.path";
    match place {
        StatePlace::Missing { can_be_made: true } => {
            Finding::ok(STATE, format!("{shown} is not there yet and is made at the first start"))
        }
        StatePlace::Missing { can_be_made: false } => {
            Finding::failure(STATE, format!("{shown} is not there, and this user cannot make it"), own)
        }
        StatePlace::NoDirectory => {
            Finding::failure(STATE, format!("{shown} is no directory"), "set another state.path")
        }
        StatePlace::Forbidden => {
            Finding::failure(STATE, format!("{shown} cannot be read and written by this user"), own)
        }
        StatePlace::Empty => Finding::ok(STATE, format!("{shown} is writable and has no counts yet")),
        StatePlace::Format { found, known } if found > known => Finding::failure(
            STATE,
            format!(
                "the state in {shown} was written by a newer version (format {found}, this version knows up to {known})"
            ),
            "run that version, or set another state.path",
        ),
        StatePlace::Format { found, known } if found < known => Finding::warning(
            STATE,
            format!("the state in {shown} has format {found}, which the next start turns into {known}"),
            "earlier versions cannot read it then: copy the directory first if you may want to go back",
        ),
        StatePlace::Format { found, .. } => {
            Finding::ok(STATE, format!("{shown} is writable and has a state of format {found}"))
        }
    }
}

/// Judges the room on the disk of the state.
pub fn room(free: u64, state: u64) -> Finding {
    const CHECK: &str = "disk";
    let taken = if state == 0 { String::new() } else { format!(", which takes {} MiB", state.div_ceil(MIB)) };
    let found = format!("{} MiB are free for the state{taken}", free / MIB);
    let advice =
        "make room, or move the state to a larger disk: when it is full, counting waits and deliveries are put off";
    if free < NO_ROOM {
        Finding::failure(CHECK, found, advice)
    } else if free < LITTLE_ROOM.max(state) {
        Finding::warning(CHECK, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Judges where the state is: SQLite's locks and syncs are not sure on a network's disk. `magic` is the kind of file
/// system as `statfs(2)` of Linux numbers it.
pub fn file_system(magic: u64) -> Option<Finding> {
    let name = match magic {
        0x6969 => "NFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x6573_5546 => "FUSE",
        _ => return None,
    };
    Some(Finding::warning(
        "disk",
        format!("the state is on {name}"),
        "locks and syncs are not sure there: keep it on a local disk",
    ))
}

/// What listens on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nothing: it was free to bind.
    Free,
    /// An exporter that says that it is alive.
    Alive,
    /// Something else, or an exporter that does not answer; why.
    Other(String),
    /// It cannot be bound; why.
    Unusable(String),
}

/// Judges an address.
pub fn listener(check: &'static str, address: &str, listener: &Listener) -> Finding {
    match listener {
        Listener::Free => Finding::ok(check, format!("{address} is free")),
        Listener::Alive => Finding::ok(check, format!("an exporter is alive on {address}")),
        Listener::Other(why) => Finding::failure(
            check,
            format!("{address} is taken, and not by an exporter of this configuration ({why})"),
            "stop what listens there (ss -ltnp shows it), or set another address",
        ),
        Listener::Unusable(why) => Finding::failure(
            check,
            why.clone(),
            "set an address of this machine, and a port above 1023 unless it runs as root",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    #[test]
    fn a_place_for_the_state_is_there_can_be_made_or_is_neither() {
        let judged = |place| state(Path::new("/data"), &place).standing;
        assert_eq!(judged(StatePlace::Missing { can_be_made: true }), Standing::Ok);
        assert_eq!(judged(StatePlace::Missing { can_be_made: false }), Standing::Failure);
        assert_eq!(judged(StatePlace::NoDirectory), Standing::Failure);
        assert_eq!(judged(StatePlace::Forbidden), Standing::Failure);
        assert_eq!(judged(StatePlace::Empty), Standing::Ok);
        assert_eq!(judged(StatePlace::Format { found: 2, known: 2 }), Standing::Ok);
        assert_eq!(judged(StatePlace::Format { found: 1, known: 2 }), Standing::Warning);
        assert_eq!(judged(StatePlace::Format { found: 3, known: 2 }), Standing::Failure);
    }

    #[test]
    fn room_is_measured_by_the_state() {
        assert_eq!(room(15 * MIB, 0).standing, Standing::Failure);
        assert_eq!(room(16 * MIB, 0).standing, Standing::Warning);
        assert_eq!(room(256 * MIB, 0).standing, Standing::Ok);
        assert_eq!(room(256 * MIB, 257 * MIB).standing, Standing::Warning);
        assert_eq!(file_system(0xef53), None);
        assert!(file_system(0x6969).unwrap().found.contains("NFS"));
    }

    #[test]
    fn an_address_is_free_ours_or_anothers() {
        let judged = |found| listener("metrics", ":9899", &found);
        assert_eq!(judged(Listener::Free).standing, Standing::Ok);
        assert_eq!(judged(Listener::Alive).standing, Standing::Ok);
        assert_eq!(judged(Listener::Other("404".into())).standing, Standing::Failure);
        assert_eq!(judged(Listener::Unusable("no".into())).standing, Standing::Failure);
    }
}

//! Programs of PostgreSQL: where they are, as whom they run, and how they are ended.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process, kill_process_group};

/// PostgreSQL refuses to run as root; where the tests do, its servers run as nobody.
const NOBODY: u32 = 65_534;
/// A machine that is busy with other tests needs this long for what takes a tenth of a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a server can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End at once, as if the machine had failed.
    Kill,
    /// Do nothing for now.
    Stop,
    /// Go on.
    Continue,
    /// End, with what is needed for a clean start.
    End,
    /// Read the configuration again.
    Reload,
}

impl Signal {
    pub(crate) fn native(self) -> rustix::process::Signal {
        match self {
            Self::Kill => rustix::process::Signal::KILL,
            Self::Stop => rustix::process::Signal::STOP,
            Self::Continue => rustix::process::Signal::CONT,
            Self::End => rustix::process::Signal::INT,
            Self::Reload => rustix::process::Signal::HUP,
        }
    }
}

/// The directory with the server's programs, and the program of `PgBouncer`.
///
/// # Panics
/// If they are not there: a test that skips itself proves nothing.
pub fn programs() -> (PathBuf, PathBuf) {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/postgres/usr");
    let of = |variable: &str, under_tools: &str| {
        let program = std::env::var_os(variable).map_or_else(|| tools.join(under_tools), PathBuf::from);
        assert!(
            program.is_file(),
            "{} is not there; run `.ci/tools` once, or set {variable} to the program",
            program.display()
        );
        within_reach(&program.canonicalize().unwrap())
    };
    let postgres = of("POSTGRES", "lib/postgresql/15/bin/postgres");
    (postgres.parent().unwrap().to_owned(), of("PGBOUNCER", "sbin/pgbouncer"))
}

/// The program, where the user of the servers can start it: a checkout may be in a directory that only root may enter. All that is
/// beside it is copied then, once for all tests.
fn within_reach(program: &Path) -> PathBuf {
    let Some(usr) = program.ancestors().find(|path| path.ends_with("usr")) else { return program.to_owned() };
    let is_open = |directory: &Path| directory.metadata().is_ok_and(|data| data.mode() & 0o001 != 0);
    if !is_root() || usr.ancestors().all(is_open) {
        return program.to_owned();
    }
    let mut hash = DefaultHasher::new();
    // Both programs are in one copy.
    let data = usr.metadata().unwrap();
    (usr, data.ino(), data.mtime()).hash(&mut hash);
    let place = std::env::temp_dir().join(format!("test-postgres-{:016x}", hash.finish()));
    if !place.is_dir() {
        let mut part = tempfile::Builder::new();
        let part = part.prefix("test-postgres-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        assert!(Command::new("cp").arg("-a").arg(usr).arg(part.path()).status().unwrap().success());
        // Another test may have been first.
        if std::fs::rename(part.path(), &place).is_err() {
            assert!(place.is_dir());
        }
    }
    place.join("usr").join(program.strip_prefix(usr).unwrap())
}

/// A command that runs `program` as somebody who is not root, with the libraries beside it.
pub fn command(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
        // The test's thread is gone before its servers are only if the whole process was killed.
        command.args(["--pdeathsig=KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let root = program.ancestors().find(|path| path.ends_with("usr")).unwrap_or(program);
    // The machine's own need no word, and a word would put them before what other programs bring along.
    if root != Path::new("/usr") {
        command.env("LD_LIBRARY_PATH", libraries(root));
    }
    command.env("LC_ALL", "C").env_remove("PGPASSWORD").stdin(Stdio::null());
    command
}

/// Where the libraries beside programs below `root` are, as `LD_LIBRARY_PATH`.
pub(crate) fn libraries(root: &Path) -> OsString {
    let all = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    std::env::join_paths(all.filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))).unwrap()
}

/// Runs `program` to its end, and gives what it has written.
pub(crate) fn run(program: &Path, arguments: &[&OsStr]) -> String {
    let output = command(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} failed: {errors}", program.display());
    String::from_utf8(output.stdout).unwrap()
}

/// Gives a file or directory, with all that is in it, to the user of the servers.
pub fn hand_over(path: &Path) {
    if is_root() {
        let mut command = Command::new("chown");
        assert!(command.arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(path).status().unwrap().success());
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program that runs until it is ended.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    group: bool,
}

impl Running {
    /// Starts it, with what it writes in `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log: log.to_owned(), group: false }
    }

    /// Signals go to its children as well.
    pub(crate) fn with_children(mut self) -> Self {
        self.group = true;
        self
    }

    /// Waits until `is_ready`. `false`: it has ended by itself.
    pub(crate) fn becomes(&mut self, what: &str, mut is_ready: impl FnMut() -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        while !is_ready() {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < until, "it does not become {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Signals it.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).unwrap()) else { return };
        // It has ended already if it cannot be found.
        let _ = if self.group { kill_process_group(pid, signal.native()) } else { kill_process(pid, signal.native()) };
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::Kill);
        let _ = self.child.wait();
    }
}

/// Whether somebody listens there.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

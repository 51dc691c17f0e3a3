//! One server for all tests of a process.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;

use crate::server::{Server, Setup};

/// A server that all tests of this process share, started when it is first asked for. It ends with the process.
///
/// # Panics
/// If it cannot be started.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<&'static Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (sender, started) = channel();
        // A server ends with the thread that started it: this one goes on until the process ends.
        let keep = move || {
            let setup = Setup { settings: "max_connections = 300".into(), ..Setup::default() };
            let server: &'static Server = Box::leak(Box::new(Server::start_with(&setup)));
            clean_up_after(server);
            sender.send(server).unwrap();
            loop {
                std::thread::park();
            }
        };
        std::thread::Builder::new().name("shared server".into()).spawn(keep).unwrap();
        started.recv().expect("the shared server does not start")
    })
}

/// Starts a shell that ends the server and deletes its files as soon as this process is gone, however it ends.
fn clean_up_after(server: &Server) {
    let mut shell = Command::new("sh");
    // Its standard input ends with this process.
    shell.args(["-c", "cat >/dev/null; kill -KILL -- \"-$1\" 2>/dev/null; sleep 0.2; rm -rf \"$2\"", "sh"]);
    shell.arg(server.group().to_string()).arg(server.data().parent().unwrap());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Signals that are meant for the tests do not reach it.
    shell.process_group(0);
    std::mem::forget(shell.spawn().unwrap());
}

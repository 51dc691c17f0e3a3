//! The network between one replica and one server of the database: a proxy that cuts connections, holds what they carry, or
//! swallows it in one direction or both.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flow {
    /// They arrive.
    Open,
    /// They arrive when the link is open again.
    Held,
    /// Those of the replica never arrive. A connection that has lost bytes carries none in that direction any more.
    RequestsSwallowed,
    /// Those of the server never arrive.
    AnswersSwallowed,
    /// None arrive.
    Swallowed,
}

/// A proxy on loopback.
pub struct Link {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    server: AtomicU16,
    flow: AtomicU8,
    /// Connections that were made before the last of these are cut.
    cuts: AtomicU32,
}

impl Link {
    /// A link to the server on that port of 127.0.0.1.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { server: server.into(), flow: AtomicU8::new(0), cuts: AtomicU32::new(0) });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let port = shared.server.load(Ordering::Relaxed);
                if port == 0 {
                    return;
                }
                // Refused by the server: the replica sees its connection end.
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                shared.connect(client, server);
            }
        });
        Self { port, state }
    }

    /// New connections go to the server on that port.
    pub fn lead_to(&self, server: u16) {
        self.state.server.store(server, Ordering::Relaxed);
    }

    pub fn set(&self, flow: Flow) {
        self.state.flow.store(flow as u8, Ordering::Relaxed);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.state.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.lead_to(0);
        // Wakes the listener.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn connect(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
        let born = self.cuts.load(Ordering::Relaxed);
        for (from, to, swallowed) in
            [(from_client, server, Flow::RequestsSwallowed), (from_server, client, Flow::AnswersSwallowed)]
        {
            let state = Arc::clone(self);
            std::thread::spawn(move || {
                let _ = state.carry(&from, &to, swallowed, born);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
    }

    fn is(&self, flow: Flow) -> bool {
        self.flow.load(Ordering::Relaxed) == flow as u8
    }

    /// Carries bytes until an end closes the connection or it is cut.
    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream, swallowed: Flow, born: u32) -> std::io::Result<()> {
        let is_cut = || self.cuts.load(Ordering::Relaxed) != born;
        let (mut buffer, mut has_lost) = (vec![0; 65_536], false);
        to.set_nodelay(true)?;
        from.set_read_timeout(Some(Duration::from_millis(20)))?;
        while !is_cut() {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) => return Err(error),
            };
            while self.is(Flow::Held) && !is_cut() {
                std::thread::sleep(Duration::from_millis(5));
            }
            has_lost |= self.is(Flow::Swallowed) || self.is(swallowed);
            if !has_lost && !is_cut() {
                to.write_all(&buffer[..read])?;
            }
        }
        Ok(())
    }
}

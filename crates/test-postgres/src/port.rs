//! Ports that a test has to itself. A server that is killed and started again must find its port free, and servers that reach one
//! another know their ports before they start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::Mutex;

/// Below those that Linux gives away by itself (`net.ipv4.ip_local_port_range`): a connection never comes from one of these, and who
/// listens on port 0 does not get one.
const RANGE: Range<u16> = 15_000..32_000;

/// The UDP port of the same number marks a port as this process's. The system takes it back when the process ends.
static MARKS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 on which nobody listens, and which no other test is given while this process lives.
pub fn free_port() -> u16 {
    let mut marks = MARKS.lock().unwrap();
    // Processes begin at different places, so that they seldom meet.
    let begin = std::process::id() as usize * 31 % RANGE.len();
    let port = RANGE.skip(begin).chain(RANGE.take(begin)).find(|&port| {
        let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { return false };
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free {
            marks.push(mark);
        }
        is_free
    });
    port.expect("one of 17,000 ports is free")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<u16> = (0..200).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }

    #[test]
    fn port_that_another_process_could_be_given_is_marked() {
        let port = free_port();
        assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err(), "{port} can be marked twice");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port} is taken");
    }
}

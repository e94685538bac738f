//! Datagrams handed on: a socket of ours towards the container per client, so that
//! its answers find their way back. One that is idle is closed.

use super::open;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// As long as connection tracking keeps a stream of datagrams.
const IDLE: Duration = Duration::from_secs(120);
/// Most clients of a port; the one that is idle longest gives way.
const MOST: usize = 1024;
/// As many as one port may hand on before others have their turn.
const TURNS: usize = 64;

#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    last: Duration,
}

/// The clients of one port.
#[derive(Debug, Default)]
pub struct Flows(BTreeMap<SocketAddr, Flow>);

impl Flows {
    /// Hands on what came from clients; gives those that are new.
    pub fn forth(
        &mut self,
        outside: &UdpSocket,
        to: SocketAddr,
        buffer: &mut [u8],
        now: Duration,
    ) -> Vec<SocketAddr> {
        let mut new = Vec::new();
        for _ in 0..TURNS {
            let Ok((length, client)) = outside.recv_from(buffer) else { break };
            if !self.0.contains_key(&client) {
                let Ok(socket) = open::datagrams(to) else { continue };
                self.make_room();
                self.0.insert(client, Flow { socket, last: now });
                new.push(client);
            }
            if let Some(flow) = self.0.get_mut(&client) {
                flow.last = now;
                // Lost, as a datagram may be.
                let _ = flow.socket.send(&buffer[..length]);
            }
        }
        new
    }

    /// Hands on what came from the container for a client.
    pub fn back(&mut self, outside: &UdpSocket, client: SocketAddr, buffer: &mut [u8], now: Duration) {
        let Some(flow) = self.0.get_mut(&client) else { return };
        for _ in 0..TURNS {
            // An error is the container's refusal of an earlier datagram, told once.
            let Ok(length) = flow.socket.recv(buffer) else { return };
            flow.last = now;
            let _ = outside.send_to(&buffer[..length], client);
        }
    }

    fn make_room(&mut self) {
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, flow)| flow.last).map(|(&client, _)| client)
        {
            self.0.remove(&oldest);
        }
    }

    /// The socket towards the container of a client.
    pub fn socket(&self, client: SocketAddr) -> Option<&UdpSocket> {
        self.0.get(&client).map(|flow| &flow.socket)
    }

    /// When [`Self::close_idle`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.0.values().map(|flow| flow.last + IDLE).min()
    }

    /// Closes those that were idle long enough; says whether there were any.
    pub fn close_idle(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|_, flow| flow.last + IDLE > now);
        self.0.len() < before
    }

    /// Whether a client has a socket.
    pub fn has(&self, client: SocketAddr) -> bool {
        self.0.contains_key(&client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn each_client_gets_its_own_answers() {
        let (outside, container) = (socket(), socket());
        let (to, port) = (container.local_addr().unwrap(), outside.local_addr().unwrap());
        let mut flows = Flows::default();
        let mut buffer = [0; 64];
        outside.set_nonblocking(true).unwrap();
        let clients = [socket(), socket()];
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[number as u8], port).unwrap();
        }
        assert_eq!(flows.forth(&outside, to, &mut buffer, NOW).len(), 2);
        for _ in &clients {
            let (length, from) = container.recv_from(&mut buffer).unwrap();
            container.send_to(&[buffer[0] + 10], from).unwrap();
            assert_eq!(length, 1);
        }
        for (number, client) in clients.iter().enumerate() {
            flows.back(&outside, client.local_addr().unwrap(), &mut buffer, NOW);
            assert_eq!((client.recv(&mut buffer).unwrap(), buffer[0]), (1, number as u8 + 10));
        }
        assert_eq!(flows.deadline(), Some(NOW + IDLE));
        assert!(!flows.close_idle(NOW) && flows.close_idle(NOW + IDLE));
        assert_eq!(flows.deadline(), None);
    }
}

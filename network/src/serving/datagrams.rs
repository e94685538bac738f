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
    /// Hands on what came from clients that are `taken`; gives those that are new, and those that have given way to them.
    pub fn forth(
        &mut self,
        outside: &UdpSocket,
        to: SocketAddr,
        taken: impl Fn(SocketAddr) -> bool,
        buffer: &mut [u8],
        now: Duration,
    ) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let Ok((length, client)) = outside.recv_from(buffer) else { break };
            if !self.0.contains_key(&client) {
                if !taken(client) {
                    continue;
                }
                let Ok(socket) = open::datagrams(to) else { continue };
                gone.extend(self.make_room());
                self.0.insert(client, Flow { socket, last: now });
                new.push(client);
            }
            if let Some(flow) = self.0.get_mut(&client) {
                flow.last = now;
                // Lost, as a datagram may be.
                let _ = flow.socket.send(&buffer[..length]);
            }
        }
        (new, gone)
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

    /// Who gives way to a new client, if there is no room.
    fn make_room(&mut self) -> Option<SocketAddr> {
        let oldest = || self.0.iter().min_by_key(|(_, flow)| flow.last).map(|(&client, _)| client);
        let oldest = if self.0.len() < MOST { None } else { oldest() }?;
        self.0.remove(&oldest);
        Some(oldest)
    }

    /// The socket towards the container of a client.
    pub fn socket(&self, client: SocketAddr) -> Option<&UdpSocket> {
        self.0.get(&client).map(|flow| &flow.socket)
    }

    /// When [`Self::close_idle`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.0.values().map(|flow| flow.last + IDLE).min()
    }

    /// Closes those that were idle long enough, and gives them.
    pub fn close_idle(&mut self, now: Duration) -> Vec<SocketAddr> {
        self.0.extract_if(.., |_, flow| flow.last + IDLE <= now).map(|(client, _)| client).collect()
    }

    /// All that have a socket.
    pub fn clients(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, poll};
    use std::os::fd::AsFd;

    const NOW: Duration = Duration::from_secs(1000);

    fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    /// What was sent has come: how soon is the kernel's.
    fn await_one(socket: &UdpSocket) {
        let mut waits = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut waits, 60_000_u16), Ok(1), "nothing comes");
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
            await_one(&outside);
            let (new, gone) = flows.forth(&outside, to, |_| true, &mut buffer, NOW);
            assert_eq!((new.len(), gone.len(), flows.clients().count()), (1, 0, number + 1));
        }
        for _ in &clients {
            let (length, from) = container.recv_from(&mut buffer).unwrap();
            container.send_to(&[buffer[0] + 10], from).unwrap();
            assert_eq!(length, 1);
        }
        for (number, client) in clients.iter().enumerate() {
            await_one(flows.socket(client.local_addr().unwrap()).unwrap());
            flows.back(&outside, client.local_addr().unwrap(), &mut buffer, NOW);
            assert_eq!((client.recv(&mut buffer).unwrap(), buffer[0]), (1, number as u8 + 10));
        }
        assert_eq!(flows.deadline(), Some(NOW + IDLE));
        assert!(flows.close_idle(NOW).is_empty());
        assert_eq!(flows.close_idle(NOW + IDLE).len(), 2);
        assert_eq!(flows.deadline(), None);
    }

    #[test]
    fn who_gives_way_to_a_new_client_is_told() {
        // Two sockets each, and others' tests beside it.
        sys::process::may_open(4 * MOST as u64);
        let clients: Vec<UdpSocket> = (0..=MOST).map(|_| socket()).collect();
        let (outside, container) = (socket(), socket());
        let (to, port) = (container.local_addr().unwrap(), outside.local_addr().unwrap());
        outside.set_nonblocking(true).unwrap();
        let mut flows = Flows::default();
        let mut first = None;
        for (number, client) in clients.iter().enumerate() {
            client.send_to(b"?", port).unwrap();
            await_one(&outside);
            let now = NOW + Duration::from_millis(number as u64);
            let (new, gone) = flows.forth(&outside, to, |_| true, &mut [0; 64], now);
            assert_eq!(new.len(), 1, "{number}");
            let first = *first.get_or_insert(new[0]);
            assert_eq!(gone, if number < MOST { vec![] } else { vec![first] }, "{number}");
        }
        assert_eq!(flows.clients().count(), MOST);
    }
}

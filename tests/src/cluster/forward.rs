//! Ports of this machine's 127.0.0.1 that lead onto the cluster's wire.

use super::Cluster;
use super::namespace::Namespace;
use crate::Result;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long a server may take to answer before the next one is tried.
const PATIENCE: Duration = Duration::from_secs(2);

impl Cluster {
    /// Forwards a port of 127.0.0.1, 0 for a free one, to the first of these servers that takes a
    /// connection, and returns it. It ends with this process.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn forward(&self, port: u16, servers: Vec<SocketAddr>) -> Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let namespace = self.parts.namespace.share()?;
        let servers: Arc<[SocketAddr]> = servers.into();
        thread::Builder::new()
            .name("forward".into())
            .spawn(move || serve(&listener, &namespace, &servers))?;
        Ok(port)
    }
}

/// Takes connections, each with a thread of its own; one that fails is closed.
fn serve(listener: &TcpListener, namespace: &Namespace, servers: &Arc<[SocketAddr]>) {
    for client in listener.incoming().filter_map(io::Result::ok) {
        let (namespace, servers) = (namespace.share(), Arc::clone(servers));
        thread::spawn(move || {
            let connect =
                || servers.iter().find_map(|server| TcpStream::connect_timeout(server, PATIENCE).ok());
            if let Ok(Some(server)) = namespace.and_then(|namespace| namespace.inside(connect)) {
                let _either_end_closed = join(&client, &server);
            }
        });
    }
}

/// Carries bytes both ways until both sides have ended.
fn join(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let carry = |mut from: &TcpStream, mut to: &TcpStream| {
        let copied = io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Write)?;
        copied.map(drop)
    };
    thread::scope(|scope| {
        let back = scope.spawn(|| carry(server, client));
        let forth = carry(client, server);
        let back = back.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        forth.and(back)
    })
}

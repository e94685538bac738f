//! What the kernel needs loaded for bridges and nftables.
//!
//! A node has no `modprobe` that the kernel could call when it meets a bridge for
//! the first time, so PID 1 is asked, by name and before. Elsewhere there is no PID 1
//! of ours to ask, and the kernel calls its own.

use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use spec::modules::CONTAINERS;
use spec::{control, paths};
use std::io;
use std::os::fd::AsFd;
use sys::descriptors;

/// A PID 1 that is stopped holds up no other verb for longer.
const PATIENCE: TimeVal = TimeVal::new(10, 0);

/// Has them loaded. What they need in turn, PID 1 knows.
///
/// # Errors
/// PID 1 is there and cannot be asked.
pub fn load() -> Result<(), String> {
    load_these(&CONTAINERS)
}

/// Has others loaded.
///
/// # Errors
/// PID 1 is there and cannot be asked, or has not got one.
pub fn load_these(names: &[&str]) -> Result<(), String> {
    let Ok(socket) = super::told::connect(paths::INIT_SOCKET) else { return Ok(()) };
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let request = control::Request::Load(names).to_string();
    let ask = || -> io::Result<String> {
        let mut answer = [0; 256];
        setsockopt(&socket, ReceiveTimeout, &PATIENCE)?;
        descriptors::send(socket.as_fd(), request.as_bytes(), &[])?;
        let (length, _) = descriptors::receive(socket.as_fd(), &mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    match ask() {
        Ok(answer) if answer.starts_with("ok") => Ok(()),
        Ok(answer) => Err(format!("load modules: PID 1: {answer}")),
        Err(error) => Err(format!("load modules: ask PID 1: {}", sys::cause::cause(&error))),
    }
}

//! The kernel's switches for packets between interfaces.
//!
//! They are switched on with the first bridge and stay on: whether somebody else
//! has come to need them meanwhile, nobody can know. IPv4's is per interface, but
//! answers come in by any of them, so it is the one for all. IPv6's is for all only;
//! a machine that forwards no longer listens to routers, unless it is told to.

use std::fs;
use std::io;
use std::path::Path;
use sys::cause::cause;

const V4: &str = "/proc/sys/net/ipv4/ip_forward";
const V6: &str = "/proc/sys/net/ipv6/conf";

/// Whether this kernel has IPv6.
pub fn has_v6() -> bool {
    Path::new(V6).exists()
}

/// Switches forwarding on in both families.
///
/// # Errors
/// What could not be written, in words.
pub fn switch_on() -> Result<(), String> {
    on(V4)?;
    if !has_v6() || fs::read_to_string(format!("{V6}/all/forwarding")).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    keep_listening().map_err(|error| format!("read {V6}: {}", cause(&error)))?;
    on(&format!("{V6}/all/forwarding"))
}

/// Keeps packets that stay within a bridge from nftables (`br_netfilter`, where it is loaded). It would lead
/// what is for a Service of a pod's node to the other pod by way of the bridge, past its isolated ports.
///
/// # Errors
/// What could not be written, in words.
pub fn leave_bridges_alone() -> Result<(), String> {
    for name in ["iptables", "ip6tables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == "1") {
            fs::write(&path, "0").map_err(|error| format!("write 0 to {path}: {}", cause(&error)))?;
        }
    }
    Ok(())
}

/// Interfaces that listen to routers go on to: 2 says "even when forwarding". Before
/// the switch, because with it the kernel forgets what routers said.
fn keep_listening() -> io::Result<()> {
    for entry in fs::read_dir(V6)? {
        let path = entry?.path().join("accept_ra");
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == "1") {
            fs::write(path, "2")?;
        }
    }
    Ok(())
}

fn on(path: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    fs::write(path, "1").map_err(|error| format!("write 1 to {path}: {}", cause(&error)))
}

//! Capabilities of this process as sets of bits, capabilities(7).

use std::io;

/// `_LINUX_CAPABILITY_VERSION_3`
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Sets the three sets that capset(2) knows; bit `n` is capability `n`.
///
/// # Errors
/// `EPERM` for one that is not permitted.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    let half = |shift: u32| Half {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads a header and two halves, which live through the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes every capability that is not in `keep` out of the bounding set
/// (`PR_CAPBSET_DROP` of prctl(2)).
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn bound(keep: u64) -> io::Result<()> {
    for number in 0..64_u64 {
        if keep >> number & 1 == 0 && !prctl(libc::PR_CAPBSET_DROP, number, 0)? {
            break;
        }
    }
    Ok(())
}

/// Makes the ambient set equal to `set` (`PR_CAP_AMBIENT` of prctl(2)).
///
/// # Errors
/// `EPERM` for one that is not both permitted and inheritable.
pub fn set_ambient(set: u64) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    for number in (0..64).filter(|number| set >> number & 1 == 1) {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, number)?;
    }
    Ok(())
}

/// False for a capability that the kernel does not know (`EINVAL`).
fn prctl(option: i32, first: u64, second: u64) -> io::Result<bool> {
    // SAFETY: these options take integers alone.
    if unsafe { libc::prctl(option, first, second, 0_u64, 0_u64) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EINVAL) { Ok(false) } else { Err(error) }
}

/// The permitted set (capget(2)).
///
/// # Errors
/// None that this process can cause.
pub fn permitted() -> io::Result<u64> {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Half { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: version 3 writes two halves, which live through the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32)
}

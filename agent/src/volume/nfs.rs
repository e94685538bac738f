//! Volumes on an NFS server, version 4. The kernel mounts them; what mount.nfs(8) of other nodes does before, this program
//! does. A server that does not answer holds whoever mounts or unmounts, so that is a process of its own.

mod options;

use super::make::{is_mounted, mounts_of};
use super::place;
use k8s_openapi::api::core::v1::{PersistentVolume, Volume};
use nix::errno::Errno;
use nix::mount::{MntFlags, mount as mount_call, umount2};
use options::Options;
use std::fs;
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use sys::cause::cause;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The arguments that make this program that process.
pub const COMMANDS: [&str; 2] = [MOUNT, UNMOUNT];
const MOUNT: &str = "mount-nfs";
const UNMOUNT: &str = "unmount-nfs";

/// How long a server may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long what needs no server may take.
const SHORT: Duration = Duration::from_secs(10);

/// The server's port, unless an option names another (RFC 7530, 2.1).
const PORT: u16 = 2049;

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    server: String,
    path: String,
    /// Nothing of it may be written.
    pub read_only: bool,
    options: Vec<String>,
}

/// What a pod's volume is, if it is of this kind; `claimed` is what its claim leads to.
pub fn share(volume: &Volume, claimed: Option<&PersistentVolume>) -> Option<Share> {
    let persistent = claimed.and_then(|own| own.spec.as_ref());
    let own = volume.nfs.as_ref().or_else(|| persistent?.nfs.as_ref())?;
    let claim = volume.persistent_volume_claim.as_ref();
    let read_only = [own.read_only, claim.and_then(|claim| claim.read_only)].contains(&Some(true));
    let options = persistent.and_then(|own| own.mount_options.clone()).unwrap_or_default();
    Some(Share { server: own.server.clone(), path: own.path.clone(), read_only, options })
}

/// Mounts it at the volume's place, or finds it mounted; gives up once `ended` does.
///
/// # Errors
/// Why it cannot be, in words.
pub async fn mount(
    uid: &str,
    name: &str,
    share: &Share,
    ended: impl Future<Output = ()>,
) -> Result<(), String> {
    let target = place::volume(uid, "nfs", name);
    if is_mounted(&target) {
        return Ok(());
    }
    // Options are looked at before anybody is asked.
    Options::of(&share.options)?;
    fs::create_dir_all(&target).map_err(|error| format!("make {}: {}", target.display(), cause(&error)))?;
    network::cluster::load_modules(&["nfsv4"])?;
    let mut options = share.options.join(",");
    if share.read_only {
        options.push_str(",ro");
    }
    let arguments = [MOUNT, &share.server, &share.path, &target.display().to_string(), &options];
    run(&arguments, LIMIT, ended)
        .await
        .map_err(|reason| format!("mount {}:{}: {reason}", share.server, share.path))
}

/// Unmounts all of a pod's, whether their servers answer or not.
///
/// # Errors
/// One stays, in words.
pub async fn unmount(uid: &str) -> Result<(), String> {
    let folder = place::pod(uid);
    let text = folder.display().to_string();
    for (arguments, limit) in [(&[UNMOUNT, &text][..], LIMIT), (&[UNMOUNT, &text, "force"][..], SHORT)] {
        if points(&folder).is_empty() {
            return Ok(());
        }
        // What counts is what is left.
        let _ = run(arguments, limit, pending()).await;
    }
    match points(&folder).first() {
        None => Ok(()),
        Some(point) => Err(format!("unmount {}: its server does not answer", point.display())),
    }
}

/// Where something of this kind is mounted below a folder, parts of volumes among it.
pub fn points(folder: &Path) -> Vec<PathBuf> {
    mounts_of(folder, |kind| kind == "nfs" || kind == "nfs4")
}

/// Runs this program with these arguments until it ends, or is ended.
async fn run(arguments: &[&str], limit: Duration, ended: impl Future<Output = ()>) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("find this program: {}", cause(&error)))?;
    let mut command = Command::new(own);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| cause(&error))?;
    let output = child.stderr.take();
    let ends = async {
        let mut words = String::new();
        if let Some(mut output) = output {
            let _ = output.read_to_string(&mut words).await;
        }
        (words, child.wait().await)
    };
    let reason = tokio::select! {
        (words, status) = ends => return match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(words.trim().trim_start_matches("skerry-agent: ").to_owned()),
            Err(error) => Err(cause(&error)),
        },
        () = sleep(limit) => format!("the server has not answered within {limit:?}"),
        () = ended => "the pod ends".to_owned(),
    };
    // Nobody goes on while it may still mount.
    let _ = child.start_kill();
    let _ = timeout(SHORT, child.wait()).await;
    Err(reason)
}

/// What that process does, by its arguments, of which the first is one of [`COMMANDS`].
///
/// # Errors
/// In words.
pub fn command(arguments: &[String]) -> Result<(), String> {
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts[..] {
        [MOUNT, server, path, target, options] => mount_here(server, path, Path::new(target), options),
        [UNMOUNT, folder] => unmount_here(Path::new(folder), MntFlags::empty()),
        [UNMOUNT, folder, "force"] => {
            unmount_here(Path::new(folder), MntFlags::MNT_FORCE | MntFlags::MNT_DETACH)
        }
        _ => Err(format!(
            "usage: skerry-agent {MOUNT} SERVER PATH FOLDER OPTIONS\n       skerry-agent {UNMOUNT} FOLDER [force]"
        )),
    }
}

fn unmount_here(folder: &Path, flags: MntFlags) -> Result<(), String> {
    let mut failed = Ok(());
    for point in points(folder) {
        if let Err(error) = umount2(&point, flags | MntFlags::UMOUNT_NOFOLLOW) {
            failed = Err(format!("unmount {}: {}", point.display(), cause(&error.into())));
        }
    }
    failed
}

fn mount_here(server: &str, path: &str, target: &Path, options: &str) -> Result<(), String> {
    let options = Options::of(&[options.to_owned()])?;
    let source = if server.contains(':') && !server.starts_with('[') {
        format!("[{server}]:{path}")
    } else {
        format!("{server}:{path}")
    };
    let found = (server.trim_matches(['[', ']']), PORT).to_socket_addrs();
    let found = found.map_err(|error| format!("find \"{server}\": {}", cause(&error)))?;
    let mut last = format!("\"{server}\" has no address of the family that is asked for");
    for address in found.filter(|address| options.takes(address.ip())) {
        match mount_from(address, &source, target, &options) {
            Ok(()) => return Ok(()),
            // The server's next address may be better.
            Err((
                Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ETIMEDOUT,
                words,
            )) => {
                last = words;
            }
            Err((_, words)) => return Err(words),
        }
    }
    Err(last)
}

/// Mounts by one of the server's addresses; the error's number, and words.
fn mount_from(
    server: SocketAddr,
    source: &str,
    target: &Path,
    options: &Options,
) -> Result<(), (Errno, String)> {
    let client = own_address(server).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        (errno, format!("reach {}: {}", server.ip(), cause(&error)))
    })?;
    for version in options.versions() {
        let data = options.data(version, server.ip(), client);
        match mount_call(Some(source), target, Some("nfs"), options.flags, Some(data.as_str())) {
            Ok(()) => return Ok(()),
            Err(Errno::EPROTONOSUPPORT) => {}
            Err(Errno::ENODEV) => return Err((Errno::ENODEV, "this node's kernel has no NFS".to_owned())),
            Err(Errno::EINVAL) => {
                return Err((Errno::EINVAL, format!("the kernel takes not all of the options {data}")));
            }
            Err(error) => return Err((error, cause(&io::Error::from(error)))),
        }
    }
    Err((Errno::EPROTONOSUPPORT, "the server has none of the versions that were tried".to_owned()))
}

/// The address from which we would speak to another.
fn own_address(other: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if other.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(other)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_of_the_pods_own_and_one_that_is_claimed() {
        let own: Volume = serde_json::from_value(
            json!({ "name": "v", "nfs": { "server": "s", "path": "/p", "readOnly": true } }),
        )
        .unwrap();
        let expected = Share { server: "s".into(), path: "/p".into(), read_only: true, options: Vec::new() };
        assert_eq!(share(&own, None), Some(expected.clone()));
        let claim: Volume =
            serde_json::from_value(json!({ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }))
                .unwrap();
        let persistent: PersistentVolume = serde_json::from_value(json!({ "metadata": {}, "spec": {
            "nfs": { "server": "s", "path": "/p" }, "mountOptions": ["hard", "vers=4.1"],
        } }))
        .unwrap();
        let claimed = share(&claim, Some(&persistent)).unwrap();
        assert_eq!((claimed.read_only, claimed.options.len()), (false, 2));
        assert_eq!(share(&claim, None), None);
        assert_eq!(share(&claim, Some(&PersistentVolume::default())), None);
    }

    #[test]
    fn the_process_says_what_it_is_to_be_told() {
        assert!(command(&[]).unwrap_err().starts_with("usage: skerry-agent mount-nfs SERVER PATH"));
        assert_eq!(command(&["unmount-nfs".into(), "/no/such".into()]), Ok(()));
    }
}

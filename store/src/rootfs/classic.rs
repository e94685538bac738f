//! Overlays by mount(2), on Linux before 6.8, whose `lowerdir+` is missing.
//!
//! The kernel takes one page of options and passes over what is beyond it, the end of a path too. So layers are named by where
//! they lie in the folder of mounts, which is the current one of the thread that mounts; what does not fit is refused.

use super::{OPTIONS, Overlay};
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Most bytes of options: a page less the zero byte that ends them (mount(2)).
const OPTIONS_MAX: usize = 4095;

/// Mounts it.
pub(super) fn mount(own: &Overlay<'_>) -> io::Result<()> {
    let data = options(own)?;
    let mut flags = MsFlags::empty();
    if own.written.is_none() {
        flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    }
    let in_mounts = || {
        // The current folder is the whole program's unless a thread has one of its own.
        unshare(CloneFlags::CLONE_FS)?;
        nix::unistd::chdir(own.mounts)?;
        nix::mount::mount(Some("overlay"), own.target, Some("overlay"), flags, Some(&data[..]))
    };
    let mounted = std::thread::scope(|scope| scope.spawn(in_mounts).join());
    Ok(mounted.map_err(|_| io::Error::other("the thread that mounts it has failed"))??)
}

/// What is written comes first: short of the last layers an overlay would be another one.
fn options(own: &Overlay<'_>) -> io::Result<Vec<u8>> {
    let mut data: Vec<u8> =
        OPTIONS.iter().flat_map(|(key, value)| format!("{key}={value},").into_bytes()).collect();
    if let Some((upper, work)) = own.written {
        data.extend([b"upperdir=".as_slice(), &escaped(upper), b",workdir=", &escaped(work), b","].concat());
    }
    data.extend(b"lowerdir=");
    let names = own.lower.iter().map(|path| escaped(path.strip_prefix(own.mounts).unwrap_or(path)));
    data.extend(names.collect::<Vec<_>>().join(&b':'));
    match data.len() {
        length if length > OPTIONS_MAX => Err(io::Error::other(format!(
            "{} layers are {length} bytes of options, more than the {OPTIONS_MAX} that Linux before 6.8 takes",
            own.lower.len()
        ))),
        _ => Ok(data),
    }
}

fn escaped(path: &Path) -> Vec<u8> {
    let byte = |&byte: &u8| if matches!(byte, b'\\' | b':' | b',') { vec![b'\\', byte] } else { vec![byte] };
    path.as_os_str().as_bytes().iter().flat_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::super::mountinfo;
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn layers(mounts: &Path, count: usize) -> Vec<PathBuf> {
        (0..count).map(|number| mounts.join(format!("0123456789ab-fe10-{number:07}"))).collect()
    }

    #[test]
    fn options_are_escaped() {
        assert_eq!(escaped(Path::new("/a:b,c\\d")), b"/a\\:b\\,c\\\\d");
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let (upper, work) = (Path::new("/data/upper"), Path::new("/data/work"));
        let (mounts, target) = (Path::new("/run/skerry/layers"), Path::new("/run/root"));
        let of = |count| {
            let lower = layers(mounts, count);
            options(&Overlay { lower: &lower, mounts, written: Some((upper, work)), target })
        };
        let few = String::from_utf8(of(2).unwrap()).unwrap();
        let expected = "upperdir=/data/upper,workdir=/data/work,lowerdir=0123456789ab-fe10-0000000:0123456789ab-fe10-0000001";
        assert!(few.ends_with(expected), "{few}");
        assert!(of(140).is_ok());
        let error = of(500).unwrap_err().to_string();
        assert!(error.starts_with("500 layers are ") && error.contains("more than the 4095"), "{error}");
    }

    #[test]
    #[ignore = "needs root"]
    fn a_hundred_layers_are_all_there() {
        // The namespace ends with the test's thread.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let folder = std::env::temp_dir().join(format!("skerry-classic-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        nix::mount::mount(Some("x"), &folder, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        let at = |name: &str| folder.join(name);
        let (mounts, upper, work, target) = (at("mounts"), at("upper"), at("work"), at("root"));
        for made in [&upper, &work, &target] {
            fs::create_dir_all(made).unwrap();
        }
        let lower = layers(&mounts, 100);
        for (number, layer) in lower.iter().enumerate() {
            fs::create_dir_all(layer).unwrap();
            fs::write(layer.join(number.to_string()), "").unwrap();
        }
        let before = std::env::current_dir().unwrap();
        mount(&Overlay { lower: &lower, mounts: &mounts, written: Some((&upper, &work)), target: &target })
            .unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 100);
        fs::write(target.join("new"), "").unwrap();
        assert!(upper.join("new").exists());
        assert_eq!(std::env::current_dir().unwrap(), before);
        let mounted = mountinfo::parse(&fs::read_to_string("/proc/thread-self/mountinfo").unwrap());
        let overlay = mounted.iter().find(|mount| mount.point == target).unwrap();
        assert!(lower.iter().all(|layer| overlay.lists(layer)));
        nix::mount::umount2(&folder, nix::mount::MntFlags::MNT_DETACH).unwrap();
        fs::remove_dir(&folder).unwrap();
    }
}

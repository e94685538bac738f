//! Layers sealed by fs-verity, on an ext4 that has it.

use tests::{Debian, Result};

const MOUNT: &str = "mount -o loop /root/seals.img /root/seals";

/// An ext4 with fs-verity, and the busybox image in a store on it; the path of its layer.
fn sealed(debian: &Debian) -> Result<String> {
    debian.run("truncate -s 64M /root/seals.img && mkfs.ext4 -q -b 4096 -O verity /root/seals.img")?;
    debian.run(&format!("mkdir -p /root/seals && {MOUNT}"))?;
    debian.run("skerry --store /root/seals/store import --name app /given/images/busybox.tar")?;
    let layer = debian.run("ls /root/seals/store/layers/sha256/*.erofs")?;
    Ok(layer.trim().to_owned())
}

#[test]
fn a_layer_is_sealed_and_a_flipped_bit_of_it_is_never_read() -> Result {
    let debian = Debian::lent()?;
    let layer = sealed(&debian)?;
    let attributes = debian.run(&format!("lsattr {layer}"))?;
    assert!(attributes.split(' ').next().is_some_and(|flags| flags.contains('V')), "{attributes}");
    assert_ne!(debian.try_run(&format!("echo x >> {layer}"))?.status, 0);

    // The kernel's digest is the one that the store computes where nothing is sealed.
    debian.run(
        "mkdir -p /run/plain && skerry --store /run/plain import --name app /given/images/busybox.tar",
    )?;
    let records = "cat /root/seals/store/layers/sha256/*.verity /run/plain/layers/sha256/*.verity";
    let lines = debian.run(&format!("{records} | sort -u"))?;
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(!debian.run("lsattr /run/plain/layers/sha256/ 2>&1 || :")?.contains('V'));

    // One bit of the disk, behind the file system's back.
    debian.run(&format!("cat {layer} >/dev/null"))?;
    let path = layer.trim_start_matches("/root/seals/");
    debian.run("umount /root/seals")?;
    let block = debian.run(&format!("debugfs -R 'bmap {path} 20' /root/seals.img 2>/dev/null"))?;
    let offset = block.trim().parse::<u64>().expect("a block's number") * 4096 + 7;
    debian.run(&format!(
        "byte=$(od -An -tu1 -j {offset} -N 1 /root/seals.img) && printf \"\\\\x$(printf %x $((byte ^ 1)))\" |
         dd of=/root/seals.img bs=1 seek={offset} conv=notrunc status=none"
    ))?;
    debian.run(MOUNT)?;
    let read = debian.try_run(&format!("cat {layer} 2>&1 >/dev/null"))?;
    assert!(read.status != 0 && read.text.contains("Input/output error"), "{}", read.text);
    Ok(())
}

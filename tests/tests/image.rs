//! What `skerry-image` delivers, and what it says when it cannot.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{Checkout, Image, Result, Scratch, said};

#[test]
fn a_released_image_has_neither_shell_nor_interpreter_nor_dynamic_linker() -> Result {
    let folder = Image::of_recipe("demo.toml", &["nginx"]).build()?;
    let extracted = Scratch::new()?;
    let to = format!("--extract={}", extracted.path().display());
    said(Command::new("fsck.erofs").arg(to).arg("--overwrite").arg(folder.join("root.erofs")))?;
    let files = files_below(extracted.path())?;
    for name in ["sh", "bash", "busybox", "python3", "perl", "ld-linux-x86-64.so.2", "apt", "dpkg"] {
        assert!(!files.keys().any(|path| path.ends_with(&format!("/{name}"))), "{name} is in the root");
    }
    assert!(files.contains_key("/sbin/skerry-monitor"), "is this a root? {:?}", files.keys());
    Ok(())
}

#[test]
fn a_released_pid_1_cannot_be_made_to_panic() -> Result {
    let memory = Image::of_recipe("memory.toml", &["busybox"]);
    for image in [Image::of_recipe("demo.toml", &["nginx"]), memory] {
        let initramfs = fs::read(image.build()?.join("initramfs.cpio"))?;
        let holds = |word: &[u8]| initramfs.windows(word.len()).any(|bytes| bytes == word);
        assert!(holds(b"PID 1 panicked"), "is PID 1 in it?");
        // panics.rs finds it in one that can.
        assert!(!holds(b"panic-test"), "PID 1 can be made to panic");
    }
    Ok(())
}

#[test]
fn the_same_recipe_gives_the_same_bytes_elsewhere_to_another_user_with_another_umask() -> Result {
    // As the recipe has it in the checkout.
    let built = Image::of_recipe("memory.toml", &["busybox"]).packaged_kernel().build()?;
    let checkout = Checkout::new()?;
    let line =
        "umask 077 && tests/images/build busybox --into target/images && $0 build recipes/memory.toml -o a/b";
    let image = "target/x86_64-unknown-linux-gnu/release/skerry-image";
    let mut other = match checkout.is_nobodys() {
        true => checkout.command("sh"),
        // Not root, so it cannot be anybody else; root it is in a namespace.
        false => checkout.command("unshare"),
    };
    if !checkout.is_nobodys() {
        other.args(["--map-root-user", "sh"]);
    }
    let output = other.args(["-c", line, image]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["vmlinuz", "initramfs.cpio", "initramfs-memory.cpio", "root.erofs", "manifest.toml"] {
        let again = fs::read(checkout.tree().join("a/b").join(file))?;
        assert!(fs::read(built.join(file))? == again, "{file} differs");
    }
    Ok(())
}

#[test]
fn an_image_without_container_images_is_at_most_24_mib() -> Result {
    // The tuned one's `vmlinux` is not packed.
    let folder = Image::empty().packaged_kernel().build()?;
    let sizes = ["vmlinuz", "initramfs.cpio", "root.erofs"].map(|file| folder.join(file).metadata());
    let mut sum = 0;
    for size in sizes {
        sum += size?.len();
    }
    assert!(sum <= 24 << 20, "{sum} bytes");
    Ok(())
}

/// Every file below a folder with its size, by absolute path within it.
fn files_below(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => {
                    let path = entry.path();
                    let name = path.strip_prefix(folder)?.display().to_string();
                    files.insert(format!("/{name}"), entry.metadata()?.len());
                }
            }
        }
    }
    Ok(files)
}

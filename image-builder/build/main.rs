//! Makes the empty ext4 that `skerry-image` carries, once, when Skerry is built:
//! whoever builds an image needs no mkfs. The same `mke2fs` makes the same bytes.

use std::path::Path;
use std::process::{Command, ExitCode};

mod template;

/// Bytes in the file system: the smallest data disk. Its journal, 16 MiB, does
/// not grow later, so it has what mke2fs gives a file system of 1 GiB.
const SIZE: u64 = 64 << 20;

const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
    sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed,verity";

/// Room for group descriptors up to 4 TiB (in blocks); the kernel goes on to `meta_bg`
/// beyond. Nothing is left to the build host's clock, random numbers or user.
const EXTENDED: &str = "lazy_itable_init=0,lazy_journal_init=0,nodiscard,resize=1073741824,root_owner=0:0,\
    hash_seed=5b1e7c52-94d8-4c0d-8a57-0d2f5c1f6a01";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build");
    match make() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=ext4 template: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> Result<(), String> {
    let folder = std::env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let image = Path::new(&folder).join("ext4.img");
    let sparse = std::fs::File::create(&image).and_then(|file| file.set_len(SIZE));
    sparse.map_err(|error| format!("create {}: {error}", image.display()))?;
    mke2fs(&image)?;
    let bytes = std::fs::read(&image).map_err(|error| format!("read {}: {error}", image.display()))?;
    let reduced = template::reduce(&bytes)?;
    let file = Path::new(&folder).join("ext4.template");
    std::fs::write(&file, reduced).map_err(|error| format!("write {}: {error}", file.display()))
}

fn mke2fs(image: &Path) -> Result<(), String> {
    // Debian keeps mke2fs where a user's PATH does not look.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-N", "8192", "-m", "0"])
        .args(["-J", "size=16", "-U", "5b1e7c52-94d8-4c0d-8a57-0d2f5c1f6a00"])
        .args(["-L", spec::paths::DATA_LABEL, "-O", FEATURES, "-E", EXTENDED])
        .arg(image)
        .env("PATH", path)
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("E2FSPROGS_FAKE_TIME", "1700000000")
        .output()
        .map_err(|error| format!("run mke2fs (Debian package e2fsprogs): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("mke2fs: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")))
}

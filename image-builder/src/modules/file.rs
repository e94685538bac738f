//! A module's file: out of its compression, without its signature, and compressed anew.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How module files end, and the program and Debian package that unpack them.
const COMPRESSIONS: [(&str, Option<(&str, &str)>); 4] = [
    (".ko", None),
    (".ko.xz", Some(("xz", "xz-utils"))),
    (".ko.zst", Some(("zstd", "zstd"))),
    (".ko.gz", Some(("gzip", "gzip"))),
];

/// The path of a module's file without its compression's suffix, when it is one.
pub fn plain_path(path: &str) -> Option<&str> {
    let suffixes = COMPRESSIONS.iter().map(|(suffix, _)| suffix);
    suffixes
        .filter_map(|suffix| path.strip_suffix(suffix))
        .next()
        .map(|stem| &path[..stem.len() + ".ko".len()])
}

/// Reads a module's file, uncompressed.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.to_string_lossy();
    let found = COMPRESSIONS.iter().find(|(suffix, _)| name.ends_with(suffix));
    let Some((_, Some((program, package)))) = found else {
        return std::fs::read(path).map_err(|error| Error::io("read", path, &error));
    };
    let file = File::open(path).map_err(|error| Error::io("read", path, &error))?;
    let output = Command::new(program).arg("-dc").stdin(Stdio::from(file)).output();
    let output = output.map_err(|error| {
        Error::io("run", Path::new(program), &error)
            .within(format!("unpack {name} (Debian package {package})"))
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Error::new(format!("unpack {name}: {words}")))
}

/// Compresses a module as the kernel can unpack it: its decoder knows no other check
/// than CRC-32, and takes memory for the whole dictionary.
pub fn pack(name: &str, module: &[u8]) -> Result<Vec<u8>> {
    let failed = |words: &str| Error::new(format!("compress module {name} by xz: {words}"));
    let mut child = Command::new("xz")
        .args(["--check=crc32", "--lzma2=preset=9,dict=1MiB", "--threads=1", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // What it cannot take shows in its status.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(module)));
        child.wait_with_output()
    });
    match output {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(failed(&output.status.to_string())),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// How a signed module ends (the kernel's `include/linux/module_signature.h`).
const MARKER: &[u8] = b"~Module signature appended~\n";

/// `struct module_signature`; the signature's length is its last four bytes, big-endian.
const TRAILER: usize = 12;

/// The module without its signature; one that has none is given back as it is.
pub fn without_signature(mut module: Vec<u8>) -> Vec<u8> {
    if let Some(length) = unsigned_length(&module) {
        module.truncate(length);
    }
    module
}

fn unsigned_length(module: &[u8]) -> Option<usize> {
    let signed = module.strip_suffix(MARKER)?;
    let (_, length) = signed.split_last_chunk::<4>()?;
    signed.len().checked_sub(TRAILER)?.checked_sub(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_module_is_named_without_its_compression() {
        for path in ["kernel/fs/x.ko", "kernel/fs/x.ko.xz", "kernel/fs/x.ko.zst", "kernel/fs/x.ko.gz"] {
            assert_eq!(plain_path(path), Some("kernel/fs/x.ko"));
        }
        assert_eq!(plain_path("modules.order"), None);
    }

    #[test]
    fn a_module_packed_by_us_is_what_it_was_and_the_same_each_time() {
        let module = b"module ".repeat(100_000);
        let packed = pack("x", &module).unwrap();
        assert!(packed.len() < module.len() / 100 && packed == pack("x", &module).unwrap());
        let path = std::env::temp_dir().join(format!("packed-{}.ko.xz", std::process::id()));
        std::fs::write(&path, packed).unwrap();
        let unpacked = read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(unpacked == module);
    }

    #[test]
    fn a_signature_is_cut_off_and_nothing_else() {
        let signature = [&b"SIGNATURE"[..], &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 9], MARKER].concat();
        let signed = [b"module", signature.as_slice()].concat();
        assert_eq!(without_signature(signed), b"module");
        assert_eq!(without_signature(b"module".to_vec()), b"module");
        let lying = [&[0, 0, 2, 0, 0, 0, 0, 0, 0xff, 0, 0, 9], MARKER].concat();
        assert_eq!(without_signature(lying.clone()), lying);
    }
}

//! `make fuzz TARGET=manifest`

use crate::oci::{self, ConfigFile, Document, Platform};

/// A document of a registry is understood, the same each time, or refused in one line; what is
/// understood names files by digests alone. The same for a configuration.
///
/// # Panics
/// That does not hold.
pub fn manifest(bytes: &[u8]) {
    match oci::read(bytes) {
        Ok(Document::Manifest(manifest)) => {
            assert!(manifest.layers.len() <= 500);
            let digests = manifest.layers.iter().chain([&manifest.config]).map(|one| &one.digest);
            for digest in digests {
                let length = if digest.algorithm() == "sha512" { 128 } else { 64 };
                let hex = |c: u8| c.is_ascii_digit() || matches!(c, b'a'..=b'f');
                assert!(digest.hex().len() == length && digest.hex().bytes().all(hex), "{digest}");
            }
            // Whatever an index calls it: names are kept with it, a line each.
            for named in ["", &*String::from_utf8_lossy(bytes)] {
                let own = oci::media_type(named, &manifest);
                assert!(own.starts_with("application/vnd.") && !own.contains(char::is_whitespace), "{own}");
            }
        }
        Ok(Document::Index(entries)) => {
            // Whatever it leads to, the way has an end.
            let top = oci::Descriptor::new("", crate::Digest::sha256(bytes), bytes.len() as u64);
            let found = oci::follow(&top, &Platform::host(), |_| Ok(bytes.to_vec()));
            let why = found.map(drop).expect_err("an index that leads to itself");
            assert!(!why.chars().any(char::is_control), "{why:?}, {} entries", entries.len());
        }
        Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
    }
    if let Ok(file) = serde_json::from_slice::<ConfigFile>(bytes) {
        let shown = file.platform.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

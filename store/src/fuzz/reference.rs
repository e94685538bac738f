//! `make fuzz TARGET=reference`

use crate::oci::Reference;

/// A name reads back as it is shown, and is one line that may be part of a path and a URL; or an
/// error of one line.
///
/// # Panics
/// That does not hold.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Reference>() {
        Ok(name) => {
            let shown = name.to_string();
            assert_eq!(shown.parse::<Reference>().as_ref(), Ok(&name), "{shown}");
            let plain = |c: u8| c.is_ascii_alphanumeric() || b"./:@_-[]".contains(&c);
            assert!(shown.bytes().all(plain), "{shown:?}");
            let parts = [&name.registry, &name.repository].map(|part| part.split('/').collect::<Vec<_>>());
            assert!(
                parts.iter().flatten().all(|part| !part.is_empty() && !matches!(*part, "." | "..")),
                "{shown}"
            );
            assert!(name.tag.is_some() || name.digest.is_some(), "{shown}");
            let file = crate::store::file_name(&name);
            assert!(!file.contains('/') && !file.starts_with('.') && file.len() <= 255, "{file}");
        }
        Err(why) => assert!(!why.contains('\n') && !why.is_empty(), "{why:?}"),
    }
}

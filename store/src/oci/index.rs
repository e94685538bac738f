//! From an index to the one manifest that fits a machine.

use super::{Descriptor, Document, Manifest, Platform, read};

/// How deep indexes may lie in one another.
const DEPTH_MAX: usize = 4;

/// A manifest that was found: how it was named, its bytes and what they say.
pub(crate) type Found = (Descriptor, Vec<u8>, Manifest);

/// Follows a descriptor through indexes to a manifest. `fetch` reads a document and checks it.
pub(crate) fn follow(
    entry: &Descriptor,
    platform: &Platform,
    mut fetch: impl FnMut(&Descriptor) -> Result<Vec<u8>, String>,
) -> Result<Found, String> {
    let mut descriptor = entry.clone();
    for _ in 0..DEPTH_MAX {
        let bytes = fetch(&descriptor).map_err(|why| format!("manifest {why}"))?;
        let what = |why: String| format!("manifest {}: {why}", descriptor.digest);
        match read(&bytes).map_err(what)? {
            Document::Manifest(manifest) => return Ok((descriptor, bytes, manifest)),
            Document::Index(entries) => {
                descriptor = choose(&entries, platform)?.clone();
            }
        }
    }
    Err(format!("manifest {}: indexes within indexes, more than {DEPTH_MAX} deep", entry.digest))
}

/// The entry that fits the platform.
pub(crate) fn choose<'e>(entries: &'e [Descriptor], platform: &Platform) -> Result<&'e Descriptor, String> {
    fitting(entries, platform).ok_or_else(|| missing(entries, platform))
}

/// The entry whose platform fits best; of equals, the first. An entry without a
/// platform is an index within, or an image that does not say.
fn fitting<'e>(entries: &'e [Descriptor], platform: &Platform) -> Option<&'e Descriptor> {
    let distance = |entry: &&Descriptor| match &entry.platform {
        Some(offered) => platform.distance(offered),
        None => Some(u32::MAX),
    };
    entries.iter().filter(|entry| distance(entry).is_some()).min_by_key(distance)
}

fn missing(entries: &[Descriptor], platform: &Platform) -> String {
    let offered: Vec<_> =
        entries.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string).collect();
    format!("has no variant for {platform}, only for {}", offered.join(", "))
}

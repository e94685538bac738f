//! From an index to the one manifest that fits a machine.
//!
//! An entry says for which platform it is, or the configuration of its image does. As with containerd, entries that say it
//! come first; of the others, images are looked into. One that fits no better way is taken, and refused by who checks it.

use super::{ConfigFile, Descriptor, Document, Manifest, Platform, read};

/// How deep indexes may lie in one another.
const DEPTH_MAX: usize = 4;

/// How many manifests are read on the way to one.
const MANIFESTS_MAX: usize = 64;

/// A manifest that was found: how it was named, its bytes and what they say.
pub(crate) type Found = (Descriptor, Vec<u8>, Manifest);

/// A document that is asked for on the way.
pub(crate) enum Wanted<'d> {
    /// A manifest or an index.
    Manifest(&'d Descriptor),
    /// An image's configuration.
    Config(&'d Descriptor),
}

/// Follows a descriptor through indexes to a manifest. `fetch` reads a document and checks it.
pub(crate) fn follow(
    entry: &Descriptor,
    platform: &Platform,
    fetch: impl FnMut(Wanted<'_>) -> Result<Vec<u8>, String>,
) -> Result<Found, String> {
    Search { platform, fetch, left: MANIFESTS_MAX }.follow(entry, DEPTH_MAX).map(|(_, found)| found)
}

/// Follows the one of several entries that fits the platform; it comes first in what is given.
pub(crate) fn among<'e>(
    entries: &'e [Descriptor],
    platform: &Platform,
    fetch: impl FnMut(Wanted<'_>) -> Result<Vec<u8>, String>,
) -> Result<(&'e Descriptor, Found), String> {
    let (entry, _, found) = Search { platform, fetch, left: MANIFESTS_MAX }.among(entries, DEPTH_MAX)?;
    Ok((entry, found))
}

/// How well an image fits; smaller is better. None: it is for another platform.
type Rank = Option<u32>;

/// Fits, as it says for no platform that it is.
const SILENT: u32 = u32::MAX;

struct Search<'p, F> {
    platform: &'p Platform,
    fetch: F,
    /// Manifests that may still be read.
    left: usize,
}

impl<F: FnMut(Wanted<'_>) -> Result<Vec<u8>, String>> Search<'_, F> {
    /// The manifest that an entry leads to, and how well it fits where an index was in between.
    fn follow(&mut self, entry: &Descriptor, depth: usize) -> Result<(Option<Rank>, Found), String> {
        let what = |why: String| format!("manifest {}: {why}", entry.digest);
        if depth == 0 {
            return Err(what(format!("indexes within indexes, more than {DEPTH_MAX} deep")));
        }
        let too_many = || what(format!("more than {MANIFESTS_MAX} to be looked at"));
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        let bytes = (self.fetch)(Wanted::Manifest(entry)).map_err(|why| format!("manifest {why}"))?;
        match read(&bytes).map_err(what)? {
            Document::Manifest(manifest) => Ok((None, (entry.clone(), bytes, manifest))),
            Document::Index(entries) => {
                let (_, rank, found) = self.among(&entries, depth - 1)?;
                Ok((Some(rank), found))
            }
        }
    }

    fn among<'e>(
        &mut self,
        entries: &'e [Descriptor],
        depth: usize,
    ) -> Result<(&'e Descriptor, Rank, Found), String> {
        match &choose(entries, self.platform)?[..] {
            // Whoever checks it looks into it.
            [only] => {
                let (rank, found) = self.follow(only, depth)?;
                let told = only.platform.as_ref().and_then(|offered| self.platform.distance(offered));
                Ok((only, rank.unwrap_or(told.or(Some(SILENT))), found))
            }
            several => self.best(several, depth),
        }
    }

    /// The best of entries that do not say for which platform they are. What is wrong with one counts when none fits.
    fn best<'e>(
        &mut self,
        entries: &[&'e Descriptor],
        depth: usize,
    ) -> Result<(&'e Descriptor, Rank, Found), String> {
        let (mut best, mut foreign, mut failure) = (None::<(&Descriptor, Rank, Found)>, None, None);
        for &entry in entries {
            let (rank, found) = match self.look(entry, depth) {
                Ok(looked) => looked,
                Err(why) => {
                    failure.get_or_insert(why);
                    continue;
                }
            };
            match rank {
                None => drop(foreign.get_or_insert((entry, rank, found))),
                Some(0) => return Ok((entry, rank, found)),
                rank if best.as_ref().is_none_or(|(_, known, _)| rank < *known) => {
                    best = Some((entry, rank, found));
                }
                Some(_) => {}
            }
        }
        match (best, failure, foreign) {
            (Some(found), ..) | (None, None, Some(found)) => Ok(found),
            (None, failure, _) => Err(failure.unwrap_or_else(|| "has no entry".into())),
        }
    }

    /// The manifest that an entry leads to, and how well it fits by what its configuration says.
    fn look(&mut self, entry: &Descriptor, depth: usize) -> Result<(Rank, Found), String> {
        let (rank, found) = self.follow(entry, depth)?;
        let rank = match rank {
            Some(rank) => rank,
            None => self.rank(&found.2.config)?,
        };
        Ok((rank, found))
    }

    fn rank(&mut self, config: &Descriptor) -> Result<Rank, String> {
        let bytes = (self.fetch)(Wanted::Config(config)).map_err(|why| format!("configuration {why}"))?;
        let file: ConfigFile = serde_json::from_slice(&bytes)
            .map_err(|error| format!("configuration {}: {error}", config.digest))?;
        let distance = self.platform.distance(&file.platform);
        Ok(distance.or_else(|| self.platform.takes(&file.platform).then_some(SILENT)))
    }
}

/// The entries that may fit the platform: the one whose own platform fits best, of equals the first; else those without a
/// platform, which are indexes within, or images that do not say. Never none.
pub(crate) fn choose<'e>(
    entries: &'e [Descriptor],
    platform: &Platform,
) -> Result<Vec<&'e Descriptor>, String> {
    let distance =
        |entry: &&Descriptor| entry.platform.as_ref().and_then(|offered| platform.distance(offered));
    let told = entries.iter().filter(|entry| distance(entry).is_some()).min_by_key(distance);
    let untold: Vec<_> = match told {
        Some(told) => return Ok(vec![told]),
        None => entries.iter().filter(|entry| entry.platform.is_none()).collect(),
    };
    if untold.is_empty() { Err(missing(entries, platform)) } else { Ok(untold) }
}

fn missing(entries: &[Descriptor], platform: &Platform) -> String {
    let offered: Vec<_> =
        entries.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string).collect();
    format!("has no variant for {platform}, only for {}", offered.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::oci::media;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// Documents by their digests.
    #[derive(Default)]
    struct Documents(BTreeMap<String, Vec<u8>>);

    impl Documents {
        fn add(&mut self, document: &Value) -> Value {
            let bytes = document.to_string().into_bytes();
            let digest = Digest::sha256(&bytes).to_string();
            let entry = json!({ "digest": digest, "size": bytes.len() });
            self.0.insert(digest, bytes);
            entry
        }

        fn image(&mut self, os: &str, architecture: &str, variant: &str) -> Value {
            let config = json!({ "os": os, "architecture": architecture, "variant": variant,
                "rootfs": { "diff_ids": [] } });
            let mut config = self.add(&config);
            config["mediaType"] = json!(media::CONFIG);
            self.add(&json!({ "schemaVersion": 2, "config": config, "layers": [] }))
        }

        fn index(&mut self, entries: &[Value]) -> Value {
            self.add(&json!({ "schemaVersion": 2, "manifests": entries }))
        }

        fn find(&self, entry: &Value, platform: &Platform) -> Result<String, String> {
            let entry: Descriptor = serde_json::from_value(entry.clone()).unwrap();
            let found = follow(&entry, platform, |wanted| {
                let (Wanted::Manifest(of) | Wanted::Config(of)) = wanted;
                self.0.get(&of.digest.to_string()).cloned().ok_or_else(|| format!("{}: is away", of.digest))
            });
            found.map(|(descriptor, ..)| descriptor.digest.to_string())
        }
    }

    fn platform(architecture: &str, variant: Option<&str>) -> Platform {
        let variant = variant.map(str::to_owned);
        Platform { os: "linux".into(), architecture: architecture.into(), variant }
    }

    #[test]
    fn images_that_do_not_say_for_what_they_are_are_looked_into() {
        let mut documents = Documents::default();
        let of = |documents: &mut Documents, variant| documents.image("linux", "arm", variant);
        let (six, seven) = (of(&mut documents, "v6"), of(&mut documents, "v7"));
        let arm64 = documents.image("linux", "arm64", "");
        let silent = documents.image("linux", "", "");
        let within = documents.index(&[arm64.clone(), seven.clone()]);
        let all = documents.index(&[arm64.clone(), silent.clone(), six.clone(), within]);
        let digest = |entry: &Value| Ok(entry["digest"].as_str().unwrap().to_owned());
        let arm = |variant| platform("arm", Some(variant));
        assert_eq!(documents.find(&all, &arm("v7")), digest(&seven));
        assert_eq!(documents.find(&all, &arm("v6")), digest(&six));
        assert_eq!(documents.find(&all, &platform("arm64", None)), digest(&arm64));
        assert_eq!(documents.find(&all, &platform("amd64", None)), digest(&silent));
        // One that says it comes first.
        let mut told = six.clone();
        told["platform"] = json!({ "os": "linux", "architecture": "arm", "variant": "v6" });
        let told = documents.index(&[seven, told]);
        assert_eq!(documents.find(&told, &arm("v7")), digest(&six));
    }

    #[test]
    fn what_fits_in_no_better_way_is_taken_unless_something_could_not_be_looked_at() {
        let mut documents = Documents::default();
        let (one, other) = (documents.image("linux", "arm64", ""), documents.image("linux", "s390x", ""));
        let both = documents.index(&[one.clone(), other.clone()]);
        assert_eq!(
            documents.find(&both, &platform("amd64", None)),
            Ok(one["digest"].as_str().unwrap().to_owned())
        );
        let gone = documents.image("linux", "amd64", "");
        let digest = gone["digest"].as_str().unwrap().to_owned();
        documents.0.remove(&digest);
        let with_gone = documents.index(&[one, gone, other]);
        let arm64 = documents.find(&with_gone, &platform("arm64", None));
        assert!(arm64.is_ok(), "{arm64:?}");
        let words = documents.find(&with_gone, &platform("amd64", None)).unwrap_err();
        assert_eq!(words, format!("manifest {digest}: is away"));
    }

    #[test]
    fn a_search_has_an_end() {
        let mut documents = Documents::default();
        let mut entry = documents.image("linux", "arm64", "");
        for _ in 0..3 {
            entry = documents.index(&vec![entry; 50]);
        }
        let words = documents.find(&entry, &platform("amd64", None));
        assert!(words.unwrap_err().ends_with(": more than 64 to be looked at"));
    }
}

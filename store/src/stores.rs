//! A node's stores as one.

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::oci::Reference;
use crate::progress::Progress;
use crate::registry::Registries;
use crate::store::{
    Details, Image, Listed, Pushed, Store, details_by_digest_in, details_in, resolve_digest_in, resolve_in,
};

/// The digits of what may be the beginning of a digest.
fn digits(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let all = digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    Some(digits).filter(|digits| digits.len() >= LEAST_DIGITS && all)
}

fn has(store: &Store, name: &str) -> bool {
    matches!(store.digest(name), Ok(Some(_)))
}

/// Fewer digits are no beginning of a digest.
const LEAST_DIGITS: usize = 4;

/// Stores in the order in which they are looked into; the first is the one that
/// is written, the rest came with the node.
#[derive(Clone, Debug)]
pub struct Stores(Vec<Store>);

impl Stores {
    /// Puts stores in an order. An image's layers may lie in any of them.
    pub fn new(stores: Vec<Store>) -> Self {
        Self(stores)
    }

    /// Finds an image as [`Store::resolve`] does, in the first store that has its name.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn resolve(&self, name: &str) -> Result<Image> {
        resolve_in(&self.0, name)
    }

    /// Finds an image by the digest of its manifest, which stays the same when its name moves on or is
    /// taken away; `name` is what it is called.
    ///
    /// # Errors
    /// [`Error::NoImage`]; or the image is damaged or a layer of it missing.
    pub fn resolve_digest(&self, name: &str, digest: &Digest) -> Result<Image> {
        resolve_digest_in(&self.0, name, digest)
    }

    /// Tells more of an image, in the first store that has its name.
    ///
    /// # Errors
    /// There is no such image, or it is damaged.
    pub fn details(&self, name: &Reference) -> Result<Details> {
        details_in(&self.0, name)
    }

    /// The digest of the manifest that a name leads to, in the first store that has the name, though the image may be
    /// damaged. None: no store has it.
    ///
    /// # Errors
    /// The name is no image's, or its file is damaged.
    pub fn digest(&self, name: &str) -> Result<Option<Digest>> {
        for store in &self.0 {
            if let Some(digest) = store.digest(name)? {
                return Ok(Some(digest));
            }
        }
        Ok(None)
    }

    /// The names of what a person calls an image: by a name, or by the beginning of its digest when no other image's
    /// begins so; then it may have several. What is here by neither is given as it is.
    ///
    /// # Errors
    /// Several images' digests begin so; as [`Store::list`].
    pub fn called(&self, text: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if let Some(digits) = digits(text).filter(|_| matches!(self.digest(text), Ok(None))) {
            found = self.list()?;
            found.retain(|image| image.digest.hex().starts_with(digits));
        }
        match &found[..] {
            [] => Ok(vec![text.to_owned()]),
            [first, rest @ ..] if rest.iter().any(|other| other.digest != first.digest) => {
                Err(Error::wrong(format!("image {text:?}"), "several images' IDs begin so"))
            }
            all => Ok(all.iter().map(|image| image.name.to_string()).collect()),
        }
    }

    /// Images of the first store that have lost their names, as [`Store::nameless`] has them, and have none in another.
    ///
    /// # Errors
    /// As [`Store::nameless`].
    pub fn nameless(&self) -> Result<Vec<Digest>> {
        let mut found = self.0.first().map_or(Ok(Vec::new()), Store::nameless)?;
        let named = self.list()?;
        found.retain(|digest| named.iter().all(|image| image.digest != *digest));
        Ok(found)
    }

    /// The one of these whose digest begins so.
    ///
    /// # Errors
    /// Several do; as [`Self::nameless`].
    pub fn nameless_called(&self, text: &str) -> Result<Option<Digest>> {
        let Some(digits) = digits(text) else { return Ok(None) };
        let found = self.nameless()?;
        let mut found = found.into_iter().filter(|digest| digest.hex().starts_with(digits));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                Err(Error::wrong(format!("image {text:?}"), "several images' IDs begin so"))
            }
            (one, _) => Ok(one),
        }
    }

    /// Tells more of an image by the digest of its manifest, whatever its name.
    ///
    /// # Errors
    /// As [`Self::details`].
    pub fn details_by_digest(&self, digest: &Digest) -> Result<Details> {
        details_by_digest_in(&self.0, digest)
    }

    /// All images, sorted by name; of two of the same name the one that [`Self::resolve`] finds.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut images: Vec<Listed> = Vec::new();
        for store in &self.0 {
            for listed in store.list()? {
                if images.iter().all(|known| known.name != listed.name) {
                    images.push(listed);
                }
            }
        }
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Gives an image one more name in the store that can be written, in place of what had it. One that came with the
    /// node is copied there.
    ///
    /// # Errors
    /// No store has such an image, or it is damaged; as [`Store::tag`].
    pub fn tag(&self, name: &str, new_name: &str) -> Result<()> {
        let parse = |name: &str| name.parse::<Reference>().map_err(|why| Error::wrong("image", why));
        let Some((first, rest)) = self.0.split_first() else { return Err(Error::NoImage(name.to_owned())) };
        match first.tag(name, new_name) {
            Err(Error::NoImage(missing)) => match rest.iter().find(|store| has(store, name)) {
                Some(other) => first.adopt(other, &parse(name)?, &parse(new_name)?),
                None => Err(Error::NoImage(missing)),
            },
            done => done,
        }
    }

    /// Pushes an image from the first store that has its name, as [`Store::push`] does.
    ///
    /// # Errors
    /// As [`Store::push`]; layers of images that came with the node were not kept as they came.
    pub fn push(
        &self,
        registries: &Registries,
        name: &str,
        to: &str,
        progress: &dyn Progress,
    ) -> Result<Pushed> {
        match self.0.iter().find(|store| has(store, name)) {
            Some(store) => store.push(registries, name, to, progress),
            None => Err(Error::NoImage(name.to_owned())),
        }
    }

    /// Removes a name from the store that can be written.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] when only a store that came with the node has it; as [`Store::remove`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let mut missing = Error::NoImage(name.to_owned());
        for store in &self.0 {
            match store.remove(name) {
                Err(Error::NoImage(name)) => missing = Error::NoImage(name),
                Err(Error::ReadOnly(name)) if matches!(store.digest(&name), Ok(None)) => {
                    missing = Error::NoImage(name);
                }
                done => return done,
            }
        }
        Err(missing)
    }
}

//! A layer from its stored form into the store, wherever it comes from.

use super::session::Session;
use super::{Store, check};
use crate::compression;
use crate::digest::{Digest, Hashed};
use crate::error::{Error, Result, io_error};
use crate::layer::{self, Limits};
use std::fs::File;
use std::io::{self, BufReader, Read};
use sys::cause::cause;

/// Bytes of the stored form that are read at a time.
const PACKED: usize = 64 << 10;
/// Bytes that are unpacked at a time: after each time flate2 keeps a copy of the last 32 KiB.
const UNPACKED: usize = 256 << 10;

/// A layer that is about to come.
pub(super) struct Incoming<'l> {
    /// Of the unpacked archive.
    pub diff_id: &'l Digest,
    /// Digest and length of the stored form.
    pub blob: (&'l Digest, u64),
    /// What the stored form is called where it comes from.
    pub name: &'l str,
}

/// Why a layer was not taken.
enum Fault {
    /// What came is wrong.
    Content(String),
    /// It could not be written.
    Output(Error),
}

impl Store {
    /// Converts a layer while both its digests are computed; publishes it only when both are right.
    pub(super) fn take_layer(
        &self,
        session: &Session,
        layer: &Incoming<'_>,
        stored: impl Read,
    ) -> Result<layer::Report> {
        let diff_id = layer.diff_id;
        let what = format!("layer {diff_id}");
        let wrong = |why: String| Error::wrong(&what, why);
        let mut draft = session.draft()?;
        let target = self.layer_path(diff_id);
        let output = draft.file.try_clone().map_err(io_error("write", &target))?;
        let mut packed = Hashed::new(stored, layer.blob.0);
        let files = [output, session.scratch()?];
        let report = match self.convert(&mut packed, files, diff_id) {
            Err(Fault::Output(error)) => return Err(error),
            Err(Fault::Content(why)) => Err(why),
            Ok((found, _)) if found != *diff_id => Err(format!("its unpacked content is {found}")),
            Ok((_, report)) => Ok(report),
        };
        // A wrong or cut file explains every other fault, so it is named first.
        check_blob(packed, layer).map_err(wrong)?;
        let report = report.map_err(wrong)?;
        let sealed = draft.seal(&target)?;
        session.write(format!("{sealed}\n").as_bytes(), &check::seal_path(&target))?;
        draft.publish(&target)?;
        Ok(report)
    }

    /// Gives the digest of the unpacked archive and what became of it.
    fn convert(
        &self,
        packed: &mut impl Read,
        [output, scratch]: [File; 2],
        diff_id: &Digest,
    ) -> std::result::Result<(Digest, layer::Report), Fault> {
        let content = |error: io::Error| Fault::Content(cause(&error));
        let input = BufReader::with_capacity(PACKED, packed);
        let unpacked = compression::unpack(input).map_err(content)?;
        let mut archive = Hashed::new(unpacked, diff_id);
        let input = BufReader::with_capacity(UNPACKED, &mut archive);
        let converted = layer::convert_by(input, output, scratch, diff_id.prefix(), &Limits::default());
        let (_, report) = converted.map_err(|error| match error {
            layer::Error::Image(crate::erofs::Error::Write(error)) => {
                Fault::Output(io_error("write", &self.layer_path(diff_id))(error))
            }
            error => Fault::Content(error.to_string()),
        })?;
        Ok((archive.finish().map_err(content)?, report))
    }
}

/// Reads a layer's stored form to its end and compares it with what the manifest says.
pub(super) fn check_blob<R: Read>(
    mut packed: Hashed<R>,
    layer: &Incoming<'_>,
) -> std::result::Result<(), String> {
    let Incoming { name, blob: (digest, size), .. } = *layer;
    let unread = |error: io::Error| match error.raw_os_error() {
        Some(_) => format!("read {name}: {}", cause(&error)),
        None => error.to_string(),
    };
    let limit = size.saturating_add(1).saturating_sub(packed.length);
    io::copy(&mut (&mut packed).take(limit), &mut io::sink()).map_err(unread)?;
    if packed.length != size {
        let length = if packed.length > size { "more".into() } else { packed.length.to_string() };
        return Err(format!("{name}: {length} bytes instead of {size}"));
    }
    let found = packed.finish().map_err(unread)?;
    if found == *digest { Ok(()) } else { Err(format!("{name}: its content is {found}")) }
}

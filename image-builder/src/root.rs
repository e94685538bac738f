//! A tree as an erofs image. Our programs, the kernel's modules and what else is in memory are compressed: a root is
//! small wherever it lies, and one that boots from memory lies there. What the workstation has, the layers of
//! images above all, is stored as it is: a layer is a file system of its own, whose pages are the file's.

use crate::error::{Error, Result};
use crate::tree::{Content, Kind, Node, Tree};
use std::fs::File;
use std::io::BufWriter;
use store::erofs::{self, Device, Meta, Options, Time, Writer};
use sys::cause::cause;

/// An image that grows.
type Image = Writer<BufWriter<File>>;

/// Writes a tree as an erofs image with this label, UUID and time (seconds since 1970).
pub fn write(
    tree: &Tree,
    label: &str,
    uuid: [u8; 16],
    time: u64,
    out: BufWriter<File>,
) -> Result<BufWriter<File>> {
    let time = Time::seconds(time as i64);
    let written = (|| {
        let mut image = Writer::new(out, Options { label: label.to_owned(), uuid, time: Some(time) })?;
        image.add_dir(b"/", &meta(&Node::directory(0o755), time))?;
        for (path, node) in tree.iter() {
            add(&mut image, path.as_bytes(), node, time)?;
        }
        image.finish()
    })();
    written.map(|(out, _)| out).map_err(|error| match error {
        erofs::Error::Write(error) => Error::new(cause(&error)),
        error => Error::new(error.to_string()),
    })
}

fn add(image: &mut Image, path: &[u8], node: &Node, time: Time) -> std::result::Result<(), erofs::Error> {
    let meta = meta(node, time);
    match &node.kind {
        Kind::Directory => image.add_dir(path, &meta),
        Kind::Symlink(target) => image.add_symlink(path, &meta, target.as_bytes()),
        Kind::Character { major, minor } => image.add_device(path, &meta, Device::Character(*major, *minor)),
        Kind::File(Content::Bytes(bytes)) => image.add_compressed_file(path, &meta, bytes),
        Kind::File(content) => {
            let unread = |error| erofs::Error::Read { path: path.to_vec(), error };
            let length = image.add_file(path, &meta, content.open().map_err(unread)?)?;
            if length == content.length() {
                return Ok(());
            }
            Err(unread(std::io::Error::other("it got shorter while it was read")))
        }
    }
}

fn meta(node: &Node, mtime: Time) -> Meta {
    Meta { mode: node.mode, uid: node.uid, gid: node.gid, mtime, xattrs: Vec::new() }
}

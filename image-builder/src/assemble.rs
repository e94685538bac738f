//! `skerry-image build`: from a recipe to the files of `docs/architecture.md`, step by step.
//!
//! Nothing is taken from the clock, the umask, the user, the folder's name or the order in
//! which folders list their entries. The one time in the image is `SOURCE_DATE_EPOCH` or
//! when the kernel was built.

use crate::arguments::Build;
use crate::describe::{self, describe};
use crate::error::{Error, Result};
use crate::manifest::{self, Manifest};
use crate::modules::{self, Module};
use crate::output::Output;
use crate::parts::{Parts, gather};
use crate::progress::{Progress, size};
use crate::tree::{Content, Node, Tree};
use crate::{base, cpio, files, images, root};
use spec::paths;
use std::collections::BTreeMap;
use std::io::Write;
use sys::cause::cause;

const KERNEL: &str = "vmlinuz";
const INITRAMFS: &str = "initramfs.cpio";
const ROOT: &str = "root.erofs";
const MEMORY: &str = "initramfs-memory.cpio";
const MANIFEST: &str = "manifest.toml";

/// Makes an image.
pub fn build(build: &Build) -> Result<()> {
    let mut progress = Progress::new();
    let parts = gather(build, &mut progress)?;
    let output = Output::open(&build.output)?;
    let initramfs = initramfs(&parts)?;
    let mut root = root(&parts)?;
    let images = images::install(&parts.recipe, &output.scratch(), &mut root, &mut progress)?;
    let mut manifest = describe(&parts, images, &initramfs, &root)?;
    let text = manifest::text(&manifest)?;
    root.insert(paths::IMAGE_MANIFEST, Node::bytes(0o644, text.as_str()))?;

    let mut delivery = Delivery { output, progress, time: manifest.time };
    delivery.bytes(KERNEL, &parts.kernel.image)?;
    delivery.root(&root, describe::uuid(&text))?;
    delivery.archives(INITRAMFS, &[&initramfs])?;
    let whole = delivery.memory(&initramfs)?;
    delivery.finish(&mut manifest, whole)?;
    delivery.report(&manifest, build);
    Ok(())
}

fn initramfs(parts: &Parts) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.insert("/init", Node::bytes(0o755, parts.init.bytes.as_slice()))?;
    install_modules(parts, &parts.early, &mut tree)?;
    base::install_initramfs(&mut tree)?;
    Ok(tree)
}

/// Everything of the root but images and manifest. The image's own files come before the
/// recipe's, so that a recipe that means to replace one is told of it.
fn root(parts: &Parts) -> Result<Tree> {
    let mut root = Tree::default();
    for program in &parts.programs {
        root.insert(&format!("/sbin/{}", program.name), Node::bytes(0o755, program.bytes.as_slice()))?;
    }
    install_modules(parts, &parts.modules, &mut root)?;
    files::install_config(&parts.recipe, &mut root)?;
    files::install(&parts.recipe, &mut root)?;
    base::install(&mut root)?;
    Ok(root)
}

fn install_modules(parts: &Parts, chosen: &BTreeMap<String, Module>, tree: &mut Tree) -> Result<()> {
    let (Some(library), Some(release)) = (&parts.kernel.library, &parts.kernel.release) else {
        return Ok(());
    };
    let strip = parts.recipe.body.modules.strip_signatures;
    modules::install(tree, release, chosen, library.builtin_list(), strip)
}

/// The output's files as they are written.
struct Delivery {
    output: Output,
    progress: Progress,
    time: u64,
}

impl Delivery {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let length = self.output.write(name, |mut out| match out.write_all(bytes) {
            Ok(()) => Ok(out),
            Err(error) => Err(Error::new(cause(&error))),
        })?;
        self.progress.step("write", &format!("{name}, {}", size(length)));
        Ok(())
    }

    fn root(&mut self, tree: &Tree, uuid: [u8; 16]) -> Result<()> {
        let time = self.time;
        let length = self.output.write(ROOT, |out| root::write(tree, paths::ROOT_LABEL, uuid, time, out))?;
        self.progress.step("write", &format!("{ROOT}, {}, {} files", size(length), tree.iter().count()));
        Ok(())
    }

    /// Writes archives one after another into one file.
    fn archives(&mut self, name: &str, trees: &[&Tree]) -> Result<()> {
        let time = self.time;
        let length = self.output.write(name, |mut out| {
            for tree in trees {
                cpio::write(tree, time, &mut out).map_err(|error| Error::new(cause(&error)))?;
            }
            Ok(out)
        })?;
        self.progress.step("write", &format!("{name}, {}", size(length)));
        Ok(())
    }

    /// Writes the initramfs that holds the root too, unless the root is too large for one.
    fn memory(&mut self, initramfs: &Tree) -> Result<bool> {
        let content = Content::outside(&self.output.growing(ROOT))?;
        if content.length() > cpio::MAX_FILE {
            let length = size(content.length());
            self.progress.step("leave out", &format!("{MEMORY}: a cpio archive holds no root of {length}"));
            return Ok(false);
        }
        let mut second = Tree::default();
        second.insert(paths::MEMORY_ROOT, Node::file(0o644, content))?;
        self.archives(MEMORY, &[initramfs, &second])?;
        Ok(true)
    }

    /// Writes the manifest and gives every file its name, the manifest last: where it
    /// is, all is there.
    fn finish(&mut self, manifest: &mut Manifest, with_memory: bool) -> Result<()> {
        let mut names = vec![KERNEL, INITRAMFS, ROOT];
        let mut absent = vec![MEMORY];
        if with_memory {
            names.append(&mut absent);
        }
        for name in &names {
            let written = describe::output(&self.output.growing(name))?;
            manifest.outputs.insert((*name).to_owned(), written);
        }
        self.bytes(MANIFEST, manifest::text(manifest)?.as_bytes())?;
        names.push(MANIFEST);
        self.output.publish(&names, &absent)
    }

    fn report(&mut self, manifest: &Manifest, build: &Build) {
        let of = |name: &str| manifest.outputs.get(name).map_or(0, |output| output.size);
        let total = size(of(KERNEL) + of(INITRAMFS) + of(ROOT));
        let manifest::Least { disk, memory } = manifest.least_memory;
        let folder = build.output.display();
        let words =
            format!("{folder}: {total} in all; needs {disk} MiB of memory, {memory} MiB without a disk");
        self.progress.step("done", &words);
    }
}

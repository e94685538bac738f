//! The recipe, `recipe.toml`: strict, as a node's configuration is. `docs/image-builder.md`
//! tells users the same.

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, de};
use spec::node::{Name, position};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use toml::Spanned;

/// A recipe with the text that it was read from, so that a fault found later is
/// named with its line too.
#[derive(Debug)]
pub struct Recipe {
    /// What it says.
    pub body: Body,
    path: PathBuf,
    text: String,
}

/// The keys of a recipe.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Body {
    /// `[kernel]`
    pub kernel: Spanned<Kernel>,
    /// `[modules]`
    #[serde(default)]
    pub modules: Modules,
    /// The node's configuration, a `node.toml`.
    pub config: Option<Spanned<PathBuf>>,
    /// Which of our programs the root carries; network, monitor and runtime without it.
    #[serde(default = "usual_programs")]
    pub programs: Vec<Program>,
    /// Container images by the name that the node knows them by: archives or
    /// layout folders.
    #[serde(default)]
    pub images: BTreeMap<String, Spanned<PathBuf>>,
    /// Files of the root by their absolute path.
    #[serde(default)]
    pub files: BTreeMap<Target, Spanned<File>>,
}

/// `[kernel]`: either `debian`, or `image` with its `modules`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// A Debian package: a kernel, or one that depends on the current kernel.
    pub debian: Option<String>,
    /// This version of it; the archive's current one without it.
    pub version: Option<String>,
    /// A kernel of one's own.
    pub image: Option<PathBuf>,
    /// Its module tree, `…/lib/modules/RELEASE`; none when everything is built in.
    pub modules: Option<PathBuf>,
}

/// `[modules]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Modules {
    /// In place of [`crate::modules::INITRAMFS`].
    pub initramfs: Option<Vec<Spanned<Name>>>,
    /// In place of [`crate::modules::ROOT`].
    pub root: Option<Vec<Spanned<Name>>>,
    /// In place of [`crate::modules::CARDS`] and [`spec::modules::CONTAINERS`], and of what a cluster's worker loads beside
    /// the agent.
    pub on_demand: Option<Vec<Spanned<Name>>>,
    /// Leave the signatures out: for nodes without secure boot.
    pub strip_signatures: bool,
}

/// A program of ours in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Program {
    /// The node's interfaces.
    #[serde(rename = "skerry-network")]
    Network,
    /// The parent of containers.
    #[serde(rename = "skerry-monitor")]
    Monitor,
    /// Containers out of bundles.
    #[serde(rename = "skerry-runtime")]
    Runtime,
    /// Images and containers as persons handle them; the monitor pulls by it. Only when it is asked for.
    #[serde(rename = "skerry")]
    Skerry,
    /// A cluster's worker: only when it is asked for.
    #[serde(rename = "skerry-agent")]
    Agent,
}

impl Program {
    /// Its file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "skerry-network",
            Self::Monitor => "skerry-monitor",
            Self::Runtime => "skerry-runtime",
            Self::Skerry => "skerry",
            Self::Agent => "skerry-agent",
        }
    }
}

fn usual_programs() -> Vec<Program> {
    vec![Program::Network, Program::Monitor, Program::Runtime]
}

/// `[files]`, an element: one of `source`, `content` and `symlink`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// A file or folder of the workstation.
    pub source: Option<PathBuf>,
    /// The file's text.
    pub content: Option<String>,
    /// The target of a symbolic link.
    pub symlink: Option<String>,
    /// Permission bits; without them 0755 for what its owner may execute, else 0644.
    pub mode: Option<Mode>,
    /// Owner.
    #[serde(default)]
    pub uid: u32,
    /// Group.
    #[serde(default)]
    pub gid: u32,
}

/// Permission bits, written as a string of octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u16);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let digits = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u16::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777);
        mode.map(Self).ok_or_else(|| format!("{text:?} is not a mode such as \"0644\""))
    }
}

/// Folders that a node mounts something on: what the root has there is not seen.
const MOUNTED: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var"];

/// An absolute path in the root, without `.` or `..`, where a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(pub String);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        let names: Vec<&str> = text.split('/').collect();
        match names.as_slice() {
            ["", top, ..] if MOUNTED.contains(top) => {
                Err(format!("{text:?} would not be seen: a node mounts something else on /{top}"))
            }
            ["", path @ ..] if path.iter().copied().all(plain) => Ok(Self(text.to_owned())),
            _ => Err(format!("{text:?} is not an absolute path without \".\", \"..\" and empty names")),
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// A file that cannot be read; a fault in it, with line and column.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self> {
        let fault = |error: toml::de::Error| {
            let words = error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ");
            let place = error.span().map_or(path.display().to_string(), |span| place(path, &text, &span));
            Error::new(words).within(place)
        };
        let body = toml::from_str(&text).map_err(fault)?;
        let recipe = Self { body, path: path.to_owned(), text };
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<()> {
        let kernel = self.body.kernel.get_ref();
        let wrong = match kernel {
            Kernel { debian: Some(_), image: None, modules: None, .. } => None,
            Kernel { debian: None, image: Some(_), version: None, .. } => None,
            Kernel { debian: None, image: None, .. } => Some("[kernel] needs debian or image"),
            Kernel { debian: Some(_), image: Some(_), .. } => {
                Some("[kernel] has both debian and image: one of them is meant")
            }
            Kernel { debian: Some(_), .. } => Some("kernel.modules belongs to kernel.image"),
            Kernel { .. } => Some("kernel.version belongs to kernel.debian"),
        };
        if let Some(words) = wrong {
            return Err(self.at(&self.body.kernel.span(), Error::new(words)));
        }
        self.body.files.iter().try_for_each(|(target, file)| {
            file.get_ref()
                .check()
                .map_err(|words| self.at(&file.span(), Error::new(format!("{}: {words}", target.0))))
        })
    }

    /// The modules that the recipe names itself.
    pub fn named_modules(&self) -> impl Iterator<Item = &Spanned<Name>> {
        let Modules { initramfs, root, on_demand, .. } = &self.body.modules;
        [initramfs, root, on_demand].into_iter().flatten().flatten()
    }

    /// A path of the recipe, which is relative to the recipe.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A fault behind `RECIPE:LINE:COLUMN` of what it is about.
    pub fn at(&self, span: &Range<usize>, error: Error) -> Error {
        error.within(place(&self.path, &self.text, span))
    }
}

fn place(path: &Path, text: &str, span: &Range<usize>) -> String {
    let (line, column) = position(text, span.start);
    format!("{}:{line}:{column}", path.display())
}

impl File {
    fn check(&self) -> std::result::Result<(), &'static str> {
        match (&self.source, &self.content, &self.symlink) {
            (Some(_), None, None) | (None, Some(_), None) => Ok(()),
            (None, None, Some(_)) if self.mode.is_some() => Err("a symbolic link has no mode"),
            (None, None, Some(target)) if target.is_empty() => Err("a symbolic link to nothing"),
            (None, None, Some(_)) => Ok(()),
            _ => Err("needs exactly one of source, content and symlink"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse(Path::new("dir/r.toml"), text.to_owned())
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_recipe_of_one_line_is_whole() {
        let recipe = parse("kernel.debian = \"linux-image-cloud-amd64\"\n").unwrap();
        assert_eq!(recipe.body.programs, usual_programs());
        assert!(recipe.body.modules.initramfs.is_none() && !recipe.body.modules.strip_signatures);
    }

    #[test]
    fn paths_are_relative_to_the_recipe() {
        let recipe = parse("kernel.image = \"../vmlinuz\"\n").unwrap();
        let image = recipe.body.kernel.get_ref().image.clone().unwrap();
        assert_eq!(recipe.resolve(&image), Path::new("dir/../vmlinuz"));
        assert_eq!(recipe.resolve(Path::new("/abs")), Path::new("/abs"));
    }

    #[test]
    fn a_fault_is_named_with_line_and_column() {
        for (text, words) in [
            ("", "dir/r.toml:1:1: missing field `kernel`"),
            ("kernel.debian = \"x\"\nimagse = {}\n", "dir/r.toml:2:1: unknown field `imagse`"),
            ("[kernel]\ndebian = 7\n", "dir/r.toml:2:10: invalid type: integer `7`"),
            ("[kernel]\nversion = \"1\"\n", "dir/r.toml:1:1: [kernel] needs debian or image"),
            ("[kernel]\nimage = \"a\"\nversion = \"1\"\n", "kernel.version belongs to kernel.debian"),
            ("[kernel]\ndebian = \"a\"\nmodules = \"m\"\n", "kernel.modules belongs to kernel.image"),
            ("[kernel]\ndebian = \"a\"\nimage = \"m\"\n", "has both debian and image"),
            ("kernel.debian = \"x\"\nprograms = [\"sh\"]\n", "dir/r.toml:2:13: unknown variant `sh`"),
            (
                "kernel.debian = \"x\"\n[modules]\nroot = [\"ok\", \"no space\"]\n",
                "dir/r.toml:3:8: \"no space\" is not a name",
            ),
        ] {
            let error = refused(text);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_file_is_one_of_three_things_and_lies_in_the_root() {
        for (file, words) in [
            ("\"/a\" = {}", "dir/r.toml:3:8: /a: needs exactly one of"),
            ("\"/a\" = { source = \"x\", content = \"y\" }", "needs exactly one of"),
            ("\"/a\" = { symlink = \"x\", mode = \"0644\" }", "a symbolic link has no mode"),
            ("\"/a\" = { content = \"x\", mode = 644 }", "invalid type: integer `644`"),
            ("\"/a\" = { content = \"x\", mode = \"0888\" }", "\"0888\" is not a mode"),
            ("\"/../a\" = { content = \"x\" }", "is not an absolute path"),
            ("\"/\" = { content = \"x\" }", "is not an absolute path"),
            ("\"a\" = { content = \"x\" }", "is not an absolute path"),
            (
                "\"/var/lib/a\" = { content = \"x\" }",
                "dir/r.toml:3:1: \"/var/lib/a\" would not be seen: a node mounts something else on /var",
            ),
            ("\"/run\" = { source = \"x\" }", "something else on /run"),
        ] {
            let error = refused(&format!("kernel.debian = \"x\"\n[files]\n{file}\n"));
            assert!(error.contains(words), "{error}");
        }
        assert_eq!("/variable".parse(), Ok(Target("/variable".to_owned())));
        assert_eq!("4755".parse(), Ok(Mode(0o4755)));
        assert!("".parse::<Mode>().is_err() && "+644".parse::<Mode>().is_err());
    }
}

//! The node images of tests: built by `skerry-image`, kept between runs.
//!
//! An image lies in `target/tests/images/HASH`, where HASH is of its recipe. Beside
//! it lies `made-of`, the programs that it was made of: it is built again when one
//! of them is.

use crate::programs::{PROGRAMS, Programs, programs};
use crate::{Failure, Result, kernel, probe};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// Debian's kernel, as `recipes/` has it.
const PACKAGED: &str = "debian = \"linux-image-6.12-cloud-amd64\"";

/// What a test's node image holds beside kernel and programs.
#[derive(Clone, Debug)]
pub struct Image {
    /// Container images of `tests/images`.
    containers: Vec<String>,
    recipe: Recipe,
    kernel: Kernel,
    probe: bool,
    skerry: bool,
    agent: bool,
    programs: Programs,
}

#[derive(Clone, Debug)]
enum Kernel {
    /// The one that `SKERRY_TEST_KERNEL` names.
    OfAllTests,
    /// Debian's.
    Packaged,
    /// A file.
    File(PathBuf),
}

#[derive(Clone, Debug)]
enum Recipe {
    /// A file of `recipes/`.
    File(&'static str),
    /// Written here: the image's own `node.toml`, and more tables for the recipe.
    Own { config: String, more: String },
}

impl Image {
    /// Every container image of the tests, and the probe. One image serves all
    /// tests of containers, whose configuration comes on a drive.
    pub fn with_images() -> Self {
        Self::empty().container("nginx").container("busybox").container("python").container("tricky").probe()
    }

    /// No container image, no configuration, no shell: as small as a node gets.
    pub fn empty() -> Self {
        let recipe = Recipe::Own { config: String::new(), more: String::new() };
        Self {
            containers: Vec::new(),
            recipe,
            kernel: Kernel::OfAllTests,
            probe: false,
            skerry: false,
            agent: false,
            programs: Programs::Released,
        }
    }

    /// A worker of a cluster: the agent and what it uses, and the container images of the tests.
    pub fn worker() -> Self {
        Self { agent: true, ..Self::with_images().skerry() }
    }

    /// The worker that `make cluster` boots, with the container images that its recipe names.
    pub fn example() -> Self {
        let containers = [
            "examples/images/front",
            "examples/images/back",
            "examples/images/database",
            "examples/images/report",
            "tests/control-plane/images/coredns",
            "tests/control-plane/images/metrics-server",
        ];
        Self { skerry: true, agent: true, ..Self::of_recipe("worker.toml", &containers) }
    }

    /// What a file of `recipes/` makes; it needs these container images.
    pub fn of_recipe(file: &'static str, containers: &[&str]) -> Self {
        let containers = containers.iter().map(|&name| name.to_owned()).collect();
        Self {
            containers,
            recipe: Recipe::File(file),
            kernel: Kernel::OfAllTests,
            probe: false,
            skerry: false,
            agent: false,
            programs: Programs::Released,
        }
    }

    /// Adds a container image of `tests/images` under its own name.
    pub fn container(mut self, name: &str) -> Self {
        self.containers.push(name.to_owned());
        self
    }

    /// The image's own `node.toml`, in place of an empty one, and more tables of
    /// the recipe.
    pub fn with(self, config: &str, more: &str) -> Self {
        let recipe = Recipe::Own { config: config.to_owned(), more: more.to_owned() };
        Self { recipe, ..self }
    }

    /// Adds the probe, through which a test runs commands.
    pub fn probe(self) -> Self {
        Self { probe: true, ..self }
    }

    /// With the program `skerry`, as a recipe of one's own may have it.
    pub fn skerry(self) -> Self {
        Self { skerry: true, ..self }
    }

    /// With the program that joins a cluster.
    pub fn agent(self) -> Self {
        Self { agent: true, ..self }
    }

    /// Another kernel than the packaged one, with everything built in.
    pub fn kernel(self, file: PathBuf) -> Self {
        Self { kernel: Kernel::File(file), ..self }
    }

    /// The packaged kernel whatever `SKERRY_TEST_KERNEL` says, for a test that is about it.
    pub fn packaged_kernel(self) -> Self {
        Self { kernel: Kernel::Packaged, ..self }
    }

    /// With a PID 1 that panics on request, which no released image has.
    pub fn panic_test(self) -> Self {
        Self { programs: Programs::PanicTest, ..self }
    }

    pub(crate) fn has_probe(&self) -> bool {
        self.probe
    }

    /// The image's folder, built when it is not there or made of something else.
    ///
    /// # Errors
    ///
    /// What `skerry-image` or a container image's script says.
    pub fn build(&self) -> Result<PathBuf> {
        let recipe = self.recipe_text()?;
        let config = self.config_text();
        let folder = target().join("images").join(hash(&[&recipe, &config, &format!("{:?}", self.programs)]));
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let bin = self.programs.folder()?;
        let made_of = stamp_of(&bin, &self.more_programs())?;
        let stamp = folder.join("made-of");
        if fs::read_to_string(&stamp).ok().as_ref() != Some(&made_of) {
            let file = folder.join("recipe.toml");
            fs::write(folder.join("node.toml"), config)?;
            fs::write(&file, &recipe)?;
            let mut build = Command::new(programs().join("skerry-image"));
            said(build.arg("build").arg(file).arg("-o").arg(&folder).arg("--bin-dir").arg(bin))?;
            fs::write(stamp, made_of)?;
        }
        Ok(folder)
    }

    /// Programs that an image has only when its recipe names them.
    fn more_programs(&self) -> Vec<&'static str> {
        let all = [(self.skerry, "skerry"), (self.agent, "skerry-agent")];
        all.into_iter().filter_map(|(chosen, name)| chosen.then_some(name)).collect()
    }

    fn config_text(&self) -> String {
        let mut text = match &self.recipe {
            Recipe::Own { config, .. } => config.clone(),
            Recipe::File(_) => String::new(),
        };
        if self.probe {
            text += "\n[services.probe]\n\
                     command = [\"/usr/libexec/probe/busybox\", \"sh\", \"/usr/libexec/probe/serve\"]\n";
        }
        text
    }

    fn recipe_text(&self) -> Result<String> {
        match &self.recipe {
            Recipe::File(name) => self.recipe_of_file(name),
            Recipe::Own { more, .. } => self.own_recipe(more),
        }
    }

    /// What the recipe says of the kernel.
    fn kernel_line(&self) -> Result<String> {
        let chosen = match &self.kernel {
            Kernel::OfAllTests => kernel::of_all_tests()?,
            Kernel::Packaged => None,
            Kernel::File(file) => Some(file.clone()),
        };
        Ok(chosen.map_or(PACKAGED.to_owned(), |file| format!("image = {file:?}")))
    }

    /// The file's text with its relative paths made absolute, so that it may lie
    /// elsewhere; `target/images` is where `make` puts container images.
    fn recipe_of_file(&self, name: &str) -> Result<String> {
        let folder = repository().join("recipes");
        let mut text = fs::read_to_string(folder.join(name))?;
        for name in &self.containers {
            let link = format!("../target/images/{}.tar", name.rsplit('/').next().unwrap_or(name));
            text = text.replace(&link, &container_archive(name)?.display().to_string());
        }
        text = text.replace(PACKAGED, &self.kernel_line()?);
        let config = name.replace(".toml", ".node.toml");
        Ok(text.replace(&config, &folder.join(&config).display().to_string()))
    }

    fn own_recipe(&self, more: &str) -> Result<String> {
        let mut text = "config = \"node.toml\"\n".to_owned();
        let chosen = self.more_programs();
        if !chosen.is_empty() {
            let programs: Vec<&str> = PROGRAMS.into_iter().skip(1).chain(chosen).collect();
            writeln!(text, "programs = {programs:?}")?;
        }
        writeln!(text, "\n[kernel]\n{}", self.kernel_line()?)?;
        text += "\n[modules]\nstrip-signatures = true\n\n[images]\n";
        for name in &self.containers {
            writeln!(text, "{name} = {:?}", container_archive(name)?)?;
        }
        if self.probe {
            let serve = repository().join("tests/probe/serve");
            writeln!(text, "\n[files]")?;
            writeln!(text, "\"/usr/libexec/probe/busybox\" = {{ source = {:?} }}", probe::busybox()?)?;
            writeln!(text, "\"/usr/libexec/probe/serve\" = {{ source = {serve:?} }}")?;
        }
        Ok(text + more)
    }
}

/// The archive of a container image, made when it is not there: of `tests/images`, or, for a name with
/// slashes, of the script of that path below the repository.
///
/// # Errors
///
/// What the script says.
pub fn container_archive(name: &str) -> Result<PathBuf> {
    let mut build = Command::new(repository().join("tests/images/build"));
    let words = said(build.arg(name).current_dir(repository()))?;
    Ok(PathBuf::from(words.trim()))
}

/// The files of a Debian package that is not installed, unpacked when they are not there.
///
/// # Errors
///
/// What `tools/need-unpacked` says.
pub fn unpacked(package: &str) -> Result<PathBuf> {
    said(Command::new(repository().join("tools/need-unpacked")).arg(package))?;
    let cache = std::env::var_os("SKERRY_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/skerry");
    Ok(cache.unwrap_or_else(home).join("unpacked").join(package))
}

/// Where tests keep what they build.
pub(crate) fn target() -> PathBuf {
    repository().join("target/tests")
}

/// The folder with the workspace's `Cargo.toml`.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// Runs a program and returns its standard output; its standard error is the failure.
///
/// # Errors
///
/// When it cannot be run or does not end well.
pub fn said(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|cause| Failure::new(format!("run {program}: {cause}")))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Failure::new(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// Size and time of each program and of the probe.
fn stamp_of(bin: &Path, more: &[&str]) -> Result<String> {
    let own = PROGRAMS.iter().chain(more);
    let mut files: Vec<_> = own.map(|name| bin.join(name)).collect();
    files.extend([programs().join("skerry-image"), repository().join("tests/probe/serve")]);
    let mut stamp = String::new();
    for file in files {
        let about = fs::metadata(&file).map_err(|cause| {
            Failure::new(format!("{}: {cause}; `make build` makes the programs", file.display()))
        })?;
        let changed = about.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
        writeln!(stamp, "{} {} {changed}", file.display(), about.len())?;
    }
    Ok(stamp)
}

fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

//! What goes into an image, all of it read and checked before anything is written.

use crate::arguments::Build;
use crate::error::{Error, Result};
use crate::kernel::{self, Kernel};
use crate::modules::{self, Library, Module};
use crate::programs::{self, Executable};
use crate::progress::Progress;
use crate::recipe::{Program, Recipe};
use spec::modules::{CONTAINERS, FOREIGN, SERVICES};
use std::collections::BTreeMap;

/// The inputs of an image, its files and container images apart.
pub struct Parts {
    /// What the user asked for.
    pub recipe: Recipe,
    /// The kernel.
    pub kernel: Kernel,
    /// Modules of the initramfs.
    pub early: BTreeMap<String, Module>,
    /// Modules of the root: those of the initramfs too, for devices that come later.
    pub modules: BTreeMap<String, Module>,
    /// PID 1.
    pub init: Executable,
    /// The programs of the root.
    pub programs: Vec<Executable>,
}

/// Reads and checks everything that the recipe names.
pub fn gather(build: &Build, progress: &mut Progress) -> Result<Parts> {
    let recipe = Recipe::read(&build.recipe)?;
    progress.step("recipe", &build.recipe.display().to_string());
    let folder = programs::folder(build.bin_dir.as_deref())?;
    let (init, programs) = programs::read(&folder, &recipe.body.programs)?;
    let names: Vec<&str> = [&init].into_iter().chain(&programs).map(|program| program.name).collect();
    progress.step("programs", &names.join(", "));
    let kernel = kernel::get(&recipe, &mut Progress::say)?;
    progress.step("kernel", &words(&kernel));
    let (early, modules) = choose_modules(&recipe, &kernel)?;
    progress.step("modules", &format!("{} in the initramfs, {} in the root", early.len(), modules.len()));
    Ok(Parts { recipe, kernel, early, modules, init, programs })
}

fn words(kernel: &Kernel) -> String {
    match (&kernel.package, &kernel.release) {
        (Some(package), _) => format!("{} {}", package.name, package.version),
        (None, Some(release)) => release.clone(),
        (None, None) => "of unknown version".to_owned(),
    }
}

/// Modules by name.
type Modules = BTreeMap<String, Module>;

/// The modules of initramfs and root.
fn choose_modules(recipe: &Recipe, kernel: &Kernel) -> Result<(Modules, Modules)> {
    let Some(library) = &kernel.library else {
        return match recipe.named_modules().next() {
            None => Ok((Modules::new(), Modules::new())),
            Some(name) => {
                let words = "modules are named, but the kernel comes without any";
                Err(recipe.at(&name.span(), Error::new(words)))
            }
        };
    };
    for name in recipe.named_modules() {
        modules::check(library, name.get_ref()).map_err(|error| recipe.at(&name.span(), error))?;
    }
    let (early, modules) = collect(recipe, library)?;
    if let Some(release) = &kernel.release {
        modules::check_release(&modules, release)
            .map_err(|error| recipe.at(&recipe.body.kernel.span(), error))?;
    }
    Ok((early, modules))
}

fn collect(recipe: &Recipe, library: &Library) -> Result<(Modules, Modules)> {
    let wanted = &recipe.body.modules;
    let early = wanted.initramfs.as_deref().map_or(modules::INITRAMFS.to_vec(), names);
    let late = wanted.root.as_deref().map_or(modules::ROOT.to_vec(), names);
    let on_demand = wanted.on_demand.as_deref().map_or_else(|| on_demand(&recipe.body.programs), names);
    let needed = early.iter().chain(&late).copied();
    let mut all = modules::collect(library, needed.clone().chain(on_demand), &mut |module, wish| {
        Progress::say(&format!("module {module} would like {wish} too, which this kernel lacks"));
    })?;
    // What is missing was told with the whole.
    let needed = modules::collect(library, needed, &mut |_, _| {})?;
    modules::pack(&mut all, &needed);
    let early = modules::collect(library, early, &mut |_, _| {})?;
    Ok((early, all))
}

fn on_demand(programs: &[Program]) -> Vec<&'static str> {
    let cluster = modules::CLUSTER.iter().chain(&SERVICES).chain(&FOREIGN);
    let cluster = cluster.filter(|_| programs.contains(&Program::Agent));
    modules::CARDS.iter().chain(&CONTAINERS).chain(cluster).copied().collect()
}

fn names(names: &[toml::Spanned<spec::node::Name>]) -> Vec<&str> {
    names.iter().map(|name| &**name.get_ref()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_what_services_need() {
        assert_eq!(on_demand(&[Program::Network]), [modules::CARDS.as_slice(), &CONTAINERS].concat());
        assert!(on_demand(&[Program::Network, Program::Agent]).contains(&"nft_numgen"));
    }
}

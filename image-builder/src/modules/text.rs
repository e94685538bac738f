//! The files that depmod writes, in kmod's own text forms, for the modules of one image
//! alone: paths are relative to `lib/modules/RELEASE` (modules.dep(5)).

use super::info::Info;
use super::library::Module;
use super::select::dependencies;
use std::collections::BTreeMap;
use std::fmt::Write;

/// `modules.dep`: `PATH: PATH…`, a line a module; loaded from its end.
pub fn dep(modules: &BTreeMap<String, Module>) -> String {
    let infos: BTreeMap<String, Info> =
        modules.iter().map(|(name, module)| (name.clone(), module.info.clone())).collect();
    let mut text = String::new();
    for (name, module) in modules {
        let _ = write!(text, "{}:", module.path);
        for needed in dependencies(name, &infos) {
            let _ = write!(text, " {}", modules[needed].path);
        }
        text.push('\n');
    }
    text
}

/// `modules.alias`: `alias PATTERN NAME`.
pub fn alias(modules: &BTreeMap<String, Module>) -> String {
    let lines = modules.values().flat_map(|module| {
        module.info.aliases.iter().map(|alias| format!("alias {alias} {}\n", module.name))
    });
    lines.collect()
}

/// `modules.softdep`: `softdep NAME pre: NAME… post: NAME…`.
pub fn softdep(modules: &BTreeMap<String, Module>) -> String {
    let mut text = String::new();
    for (name, module) in modules {
        let (before, after) = (&module.info.before, &module.info.after);
        for (word, list) in [("pre:", before), ("post:", after)] {
            if !list.is_empty() {
                let _ = writeln!(text, "softdep {name} {word} {}", list.join(" "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> BTreeMap<String, Module> {
        let example = [("net", &["fail", "lib"][..]), ("fail", &["lib"]), ("lib", &[])];
        let module = |(name, depends): (&str, &[&str])| {
            let info = Info {
                depends: depends.iter().map(|&name| name.to_owned()).collect(),
                before: if name == "lib" { vec!["crc32c".into()] } else { vec![] },
                aliases: vec![format!("virtio:{name}*")],
                ..Info::default()
            };
            let path = format!("kernel/{name}.ko");
            let module = Module { name: name.into(), path, xz: false, packed: false, info, bytes: vec![] };
            (name.to_owned(), module)
        };
        example.into_iter().map(module).collect()
    }

    #[test]
    fn the_texts_are_kmods() {
        let modules = modules();
        assert_eq!(
            dep(&modules),
            "kernel/fail.ko: kernel/lib.ko\nkernel/lib.ko:\nkernel/net.ko: kernel/fail.ko kernel/lib.ko\n"
        );
        assert_eq!(
            alias(&modules),
            "alias virtio:fail* fail\nalias virtio:lib* lib\nalias virtio:net* net\n"
        );
        assert_eq!(softdep(&modules), "softdep lib pre: crc32c\n");
    }
}

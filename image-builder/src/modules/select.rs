//! Which modules an image needs: those that are named and, followed to the end,
//! those that they depend on.

use super::info::Info;
use super::library::Presence;
use super::normalized;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// What the choice needs to know of a kernel.
pub trait Kernel {
    /// What there is under a module's name.
    fn presence(&self, name: &str) -> Presence;
    /// Whether something built in serves an alias.
    fn builtin_serves(&self, alias: &str) -> bool;
    /// What a loadable module says of itself.
    fn info(&mut self, name: &str) -> Result<Info>;
}

/// The modules that these names need, loadable ones only, with what they say of
/// themselves. Names that the kernel has built in are left out.
///
/// A soft dependency may be a module's name or an alias. One that nothing serves is
/// left out, as modprobe does: `missing` is told of it.
///
/// # Errors
/// A hard dependency that the kernel lacks.
pub fn closure<'a>(
    kernel: &mut dyn Kernel,
    names: impl IntoIterator<Item = &'a str>,
    missing: &mut dyn FnMut(&str, &str),
) -> Result<BTreeMap<String, Info>> {
    let mut chosen = BTreeMap::new();
    let mut open: Vec<String> = names.into_iter().map(normalized).collect();
    while let Some(name) = open.pop() {
        if chosen.contains_key(&name) || kernel.presence(&name) != Presence::Loadable {
            continue;
        }
        let info = kernel.info(&name)?;
        if let Some(lost) = info.depends.iter().find(|&needed| kernel.presence(needed) == Presence::Absent) {
            return Err(Error::new(format!("module {name} needs {lost}, which this kernel's modules lack")));
        }
        open.extend(info.depends.iter().cloned());
        for wish in info.before.iter().chain(&info.after) {
            match kernel.presence(&normalized(wish)) {
                Presence::Absent if !kernel.builtin_serves(wish) => missing(&name, wish),
                _ => open.push(normalized(wish)),
            }
        }
        chosen.insert(name, info);
    }
    Ok(chosen)
}

/// Everything that a module depends on, each before what it needs itself: the
/// order of `modules.dep`, which is loaded from its end.
pub fn dependencies<'a>(name: &str, chosen: &'a BTreeMap<String, Info>) -> Vec<&'a str> {
    let mut order = Vec::new();
    if let Some(info) = chosen.get(name) {
        visit(info, chosen, &mut order);
    }
    order.reverse();
    order
}

/// Puts what a module needs into `order`, needs first.
fn visit<'a>(info: &'a Info, chosen: &'a BTreeMap<String, Info>, order: &mut Vec<&'a str>) {
    for needed in &info.depends {
        if let Some(info) = chosen.get(needed).filter(|_| !order.contains(&needed.as_str())) {
            visit(info, chosen, order);
            order.push(needed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel by its modules: name, `depends`, wishes before.
    struct Example(Vec<(&'static str, &'static [&'static str], &'static [&'static str])>);

    impl Kernel for Example {
        fn presence(&self, name: &str) -> Presence {
            match name {
                "ext4" => Presence::BuiltIn,
                _ if self.0.iter().any(|(known, ..)| *known == name) => Presence::Loadable,
                _ => Presence::Absent,
            }
        }

        fn builtin_serves(&self, alias: &str) -> bool {
            alias == "crypto-crc32c"
        }

        fn info(&mut self, name: &str) -> Result<Info> {
            let (_, depends, before) = self.0.iter().find(|(known, ..)| *known == name).unwrap();
            let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            Ok(Info { depends: list(depends), before: list(before), ..Info::default() })
        }
    }

    fn chosen(kernel: &mut Example, names: &[&str]) -> Result<(BTreeMap<String, Info>, Vec<String>)> {
        let mut missing = Vec::new();
        let found = closure(kernel, names.iter().copied(), &mut |module, wish| {
            missing.push(format!("{module}: {wish}"))
        })?;
        Ok((found, missing))
    }

    #[test]
    fn dependencies_are_followed_and_built_in_ones_left_out() {
        let mut kernel =
            Example(vec![("a", &["b", "c"], &[]), ("b", &["c"], &[]), ("c", &[], &[]), ("d", &[], &[])]);
        let (found, _) = chosen(&mut kernel, &["a", "ext4"]).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(dependencies("a", &found), ["b", "c"]);
        assert!(dependencies("c", &found).is_empty());
    }

    #[test]
    fn a_lost_dependency_is_an_error_and_a_lost_wish_is_told() {
        let error = chosen(&mut Example(vec![("a", &["gone"], &[])]), &["a"]).unwrap_err();
        assert!(error.to_string().contains("module a needs gone"), "{error}");
        let mut kernel = Example(vec![("a", &[], &["crypto-crc32c", "b-c", "gone"]), ("b_c", &[], &[])]);
        let (found, missing) = chosen(&mut kernel, &["a"]).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b_c"]);
        assert_eq!(missing, ["a: gone"]);
    }

    #[test]
    fn a_circle_of_wishes_ends() {
        let mut kernel = Example(vec![("a", &[], &["b"]), ("b", &[], &["a"])]);
        assert_eq!(chosen(&mut kernel, &["a"]).unwrap().0.len(), 2);
    }
}

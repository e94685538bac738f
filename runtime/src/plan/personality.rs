//! `linux.personality`: which Linux the program believes to run on (personality(2)).

use super::{Step, refuse};
use crate::error::Result;
use spec::bundle::Linux;

/// Names of domains and the kernel's numbers, `PER_*` of `linux/personality.h`.
const DOMAINS: [(&str, i32); 2] = [("LINUX", 0), ("LINUX32", 0x8)];

/// The step that takes it on, if there is one.
pub(super) fn step(linux: &Linux) -> Result<Option<Step>> {
    let Some(asked) = &linux.personality else { return Ok(None) };
    if !asked.flags.is_empty() {
        return Err(refuse::at("linux.personality.flags", "the specification defines none"));
    }
    match DOMAINS.into_iter().find(|(name, _)| *name == asked.domain) {
        Some((_, number)) => Ok(Some(Step::Personality(number))),
        None => Err(refuse::at(
            "linux.personality.domain",
            &format!("{:?} is neither LINUX nor LINUX32", asked.domain),
        )),
    }
}

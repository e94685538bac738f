//! Docker's seccomp profile, as `--security-opt seccomp=FILE` names one: a filter of system calls whose rules may hold
//! for some capabilities, architectures and kernels alone (profiles/seccomp of moby).
//!
//! Unknown fields are ignored and `null` is an absent value, as dockerd has it.

use crate::bundle::{Action, Argument, Seccomp, Syscalls, or_default};
use crate::node::deserialize_from_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// This machine's architecture in Go's words, of which `arches` speaks.
const GO: &str = "amd64";
/// The same in libseccomp's.
const NATIVE: &str = "SCMP_ARCH_X86_64";

/// The number of arguments of a system call.
const ARGUMENTS: u32 = 6;

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// For a system call that no rule names.
    pub default_action: Action,
    /// Error number of a default action of `SCMP_ACT_ERRNO`; EPERM without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_X86_64` and the like, on every machine.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// In place of that: those that go with each machine's own.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub arch_map: Vec<Architecture>,
    /// `SECCOMP_FILTER_FLAG_LOG` and the like.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Socket that is sent the descriptor of `SCMP_ACT_NOTIFY`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub listener_path: String,
    /// Text sent with it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub listener_metadata: String,
    /// Rules.
    #[serde(default, deserialize_with = "or_default")]
    pub syscalls: Vec<Rule>,
}

/// An element of `archMap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Architecture {
    /// The machine's.
    pub architecture: String,
    /// Others that it runs.
    #[serde(default, deserialize_with = "or_default")]
    pub sub_architectures: Vec<String>,
}

/// An element of `syscalls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Names of system calls.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The one name, of old.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What happens.
    pub action: Action,
    /// Error number, or the tracer's message; EPERM without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// All must hold.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
    /// The rule counts where all of this is so.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Condition::is_empty")]
    pub includes: Condition,
    /// The rule does not count where any of this is so.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Condition::is_empty")]
    pub excludes: Condition,
}

/// `includes` and `excludes`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Capabilities, `CAP_SYS_ADMIN`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    /// Machines in Go's words, `amd64`, of which one must be this.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<String>,
    /// The oldest kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_kernel: Option<Kernel>,
}

/// A kernel's version as far as profiles tell it, `4.8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel(pub u32, pub u32);

impl Kernel {
    /// That of a release as uname(2) tells it, `6.12.57+deb13-cloud-amd64`.
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(version)), Some(Ok(patch))) => Some(Self(version, patch)),
            _ => None,
        }
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('.').and_then(|(a, b)| Some(Self(a.parse().ok()?, b.parse().ok()?)));
        numbers.ok_or_else(|| format!("{text:?} is not a kernel's version such as 4.8"))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0, self.1)
    }
}

impl Serialize for Kernel {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

deserialize_from_str!(Kernel);

impl Condition {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn is_of_this_machine(&self) -> bool {
        self.arches.iter().any(|arch| arch == GO)
    }
}

impl Rule {
    fn counts(&self, capabilities: &BTreeSet<String>, kernel: Kernel) -> bool {
        let (not, only) = (&self.excludes, &self.includes);
        let holds = |name: &String| capabilities.contains(name);
        let is_new = |own: &Condition| own.min_kernel.is_some_and(|least| least <= kernel);
        let excluded = not.is_of_this_machine() || not.caps.iter().any(holds) || is_new(not);
        let included = (only.arches.is_empty() || only.is_of_this_machine())
            && only.caps.iter().all(holds)
            && (only.min_kernel.is_none() || is_new(only));
        included && !excluded
    }
}

impl Profile {
    /// What of it no type refuses.
    ///
    /// # Errors
    /// Where, by its JSON path, and why.
    pub fn check(&self) -> Result<(), String> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err("archMap: there is architectures as well".to_owned());
        }
        for (place, rule) in self.syscalls.iter().enumerate() {
            let wrong = |key: &str, why: &str| Err(format!("syscalls[{place}].{key}: {why}"));
            match (rule.names.is_empty(), rule.name.is_empty()) {
                (true, true) => return wrong("names", "there is none"),
                (false, false) => return wrong("name", "there is names as well"),
                _ => {}
            }
            if let Some(at) = rule.args.iter().position(|argument| argument.index >= ARGUMENTS) {
                return wrong(&format!("args[{at}].index"), "not between 0 and 5");
            }
        }
        Ok(())
    }

    /// The filter for a container with these capabilities on a kernel of this version.
    pub fn filter(&self, capabilities: &BTreeSet<String>, kernel: Kernel) -> Seccomp {
        let of_machine = self.arch_map.iter().find(|own| own.architecture == NATIVE);
        let of_machine = of_machine
            .into_iter()
            .flat_map(|own| [&own.architecture].into_iter().chain(&own.sub_architectures));
        let rules = self.syscalls.iter().filter(|rule| rule.counts(capabilities, kernel));
        Seccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures: self.architectures.iter().chain(of_machine).cloned().collect(),
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls: rules.map(of_rule).collect(),
        }
    }
}

fn of_rule(rule: &Rule) -> Syscalls {
    let old = Some(&rule.name).filter(|name| !name.is_empty());
    Syscalls {
        names: rule.names.iter().chain(old).cloned().collect(),
        action: rule.action,
        errno_ret: rule.errno_ret,
        args: rule.args.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Profile {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_rule_counts_where_its_conditions_hold() {
        let names = |conditions: &str| {
            let text = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["a"],"action":"SCMP_ACT_ALLOW",{conditions}}}]}}"#
            );
            let capabilities = ["CAP_CHOWN", "CAP_KILL"].map(str::to_owned).into();
            let filter = profile(&text).filter(&capabilities, Kernel(6, 12));
            filter.syscalls.len() == 1
        };
        for (conditions, counts) in [
            (r#""includes":{},"excludes":null,"args":null,"comment":"""#, true),
            (r#""includes":{"caps":["CAP_CHOWN","CAP_KILL"]}"#, true),
            (r#""includes":{"caps":["CAP_CHOWN","CAP_BPF"]}"#, false),
            (r#""excludes":{"caps":["CAP_CHOWN","CAP_BPF"]}"#, false),
            (r#""excludes":{"caps":["CAP_BPF"]}"#, true),
            (r#""includes":{"arches":["arm64","amd64"]}"#, true),
            (r#""includes":{"arches":["arm64"]}"#, false),
            (r#""excludes":{"arches":["amd64"]}"#, false),
            (r#""includes":{"minKernel":"6.12"}"#, true),
            (r#""includes":{"minKernel":"6.13"}"#, false),
            (r#""excludes":{"minKernel":"4.8"}"#, false),
        ] {
            assert_eq!(names(conditions), counts, "{conditions}");
        }
    }

    #[test]
    fn the_machines_architectures_are_those_of_its_entry() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":38,"archMap":[
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
            "syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO","errnoRet":7}]}"#;
        let own = profile(text);
        assert_eq!(own.check(), Ok(()));
        let filter = own.filter(&BTreeSet::new(), Kernel::default());
        assert_eq!(filter.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        assert_eq!(
            (&*filter.syscalls[0].names, filter.syscalls[0].errno_ret),
            (&["mkdir".to_owned()][..], Some(7))
        );
        assert_eq!(filter.default_errno_ret, Some(38));
        let again = serde_json::to_string(&own).unwrap();
        assert_eq!(profile(&again), own);
    }

    #[test]
    fn what_makes_no_sense_is_told_by_its_path() {
        let rule = |text: &str| format!(r#""syscalls":[{{"action":"SCMP_ACT_LOG",{text}}}]"#);
        for (text, told) in [
            (r#""architectures":["a"],"archMap":[{"architecture":"b"}]"#.to_owned(), "archMap: there is"),
            (rule(r#""names":[]"#), "syscalls[0].names: there is none"),
            (rule(r#""names":["a"],"name":"b""#), "syscalls[0].name: there is names"),
            (
                rule(r#""name":"a","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]"#),
                "syscalls[0].args[0].index: not between 0 and 5",
            ),
        ] {
            let error =
                profile(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{text}}}"#)).check().unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn a_kernel_is_told_by_two_numbers() {
        assert_eq!(Kernel::of_release("6.12.57+deb13-cloud-amd64"), Some(Kernel(6, 12)));
        assert_eq!(Kernel::of_release("6.13-rc1"), Some(Kernel(6, 13)));
        assert_eq!(Kernel::of_release("plan9"), None);
        assert_eq!("4.8".parse(), Ok(Kernel(4, 8)));
        assert!(Kernel(4, 10) > Kernel(4, 8));
        assert!("4".parse::<Kernel>().is_err() && "4.x".parse::<Kernel>().is_err());
    }
}

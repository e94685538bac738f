//! `--security-opt seccomp=FILE`: Docker's profile, read here, so that the monitor opens no file of a person's.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spec::bundle::{Action, Argument, Operator};
use spec::seccomp::{Architecture, Kernel, Profile};

/// Bytes of a profile: Docker's own has 20,000.
const MOST: usize = 256 << 10;

/// Reads a profile.
///
/// # Errors
/// It is no JSON; or where it is no profile, by its JSON path, and why.
pub fn read(text: &str) -> Result<Profile, String> {
    if text.len() > MOST {
        return Err(format!("{} bytes: at most {MOST} can be", text.len()));
    }
    let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // From the innermost outwards, so that what is wrong is told of the least part that has it.
    each(&whole, "archMap", is::<Architecture>)?;
    each(&whole, "syscalls", rule)?;
    key::<Action>(&whole, "", "defaultAction")?;
    key::<u32>(&whole, "", "defaultErrnoRet")?;
    for list in ["architectures", "flags"] {
        key::<Vec<String>>(&whole, "", list)?;
    }
    let profile = Profile::deserialize(&whole).map_err(|error| error.to_string())?;
    profile.check().map(|()| profile)
}

fn rule(rule: &Value, path: &str) -> Result<(), String> {
    key::<Vec<String>>(rule, path, "names")?;
    key::<Action>(rule, path, "action")?;
    key::<u32>(rule, path, "errnoRet")?;
    each(&rule["args"], "", |argument, at| {
        let path = &format!("{path}.args{at}");
        key::<u32>(argument, path, "index")?;
        key::<u64>(argument, path, "value")?;
        key::<u64>(argument, path, "valueTwo")?;
        key::<Operator>(argument, path, "op")?;
        is::<Argument>(argument, path)
    })?;
    for conditions in ["includes", "excludes"] {
        let (own, path) = (&rule[conditions], &format!("{path}.{conditions}"));
        key::<Vec<String>>(own, path, "caps")?;
        key::<Vec<String>>(own, path, "arches")?;
        key::<Kernel>(own, path, "minKernel")?;
    }
    is::<spec::seccomp::Rule>(rule, path)
}

/// Every element of a list; the list's own kind is judged with the whole.
fn each(of: &Value, name: &str, judge: impl Fn(&Value, &str) -> Result<(), String>) -> Result<(), String> {
    let list = if name.is_empty() { of } else { &of[name] };
    let mut elements = list.as_array().into_iter().flatten().enumerate();
    elements.try_for_each(|(place, one)| judge(one, &format!("{name}[{place}]")))
}

/// A key that may be missing, or null.
fn key<T: DeserializeOwned>(of: &Value, path: &str, key: &str) -> Result<(), String> {
    let dot = if path.is_empty() { "" } else { "." };
    is::<Option<T>>(&of[key], &format!("{path}{dot}{key}"))
}

fn is<T: DeserializeOwned>(value: &Value, path: &str) -> Result<(), String> {
    T::deserialize(value).map(drop).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_dockers_is_read() {
        let text = r#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }],
            "syscalls": [
                { "names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {} },
                { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_SYS_ADMIN"], "arches": ["s390"] },
                  "args": [{ "index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] }
            ] }"#;
        assert_eq!(read(text).unwrap().syscalls.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_path() {
        let rule = |text: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"name":"a","action":"SCMP_ACT_LOG"}},{{{text}}}]}}"#
            )
        };
        for (text, told) in [
            ("{".to_owned(), "EOF while parsing an object at line 1"),
            ("{}".to_owned(), "missing field `defaultAction`"),
            (r#"{"defaultAction":"FLY"}"#.to_owned(), "defaultAction: unknown variant `FLY`"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{}]}"#.to_owned(),
                "archMap[0]: missing field `architecture`",
            ),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":7}"#.to_owned(), "invalid type: integer `7`"),
            (
                rule(r#""names":["b"],"action":"SCMP_ACT_FLY""#),
                "syscalls[1].action: unknown variant `SCMP_ACT_FLY`",
            ),
            (rule(r#""names":["b"]"#), "syscalls[1]: missing field `action`"),
            (rule(r#""names":"b","action":"SCMP_ACT_LOG""#), "syscalls[1].names: invalid type: string \"b\""),
            (rule(r#""action":"SCMP_ACT_LOG""#), "syscalls[1].names: there is none"),
            (
                rule(
                    r#""name":"b","action":"SCMP_ACT_LOG","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]"#,
                ),
                "syscalls[1].args[0].value: invalid value: integer `-1`",
            ),
            (
                rule(
                    r#""name":"b","action":"SCMP_ACT_LOG","args":[{"index":9,"value":1,"op":"SCMP_CMP_EQ"}]"#,
                ),
                "syscalls[1].args[0].index: not between 0 and 5",
            ),
            (
                rule(r#""name":"b","action":"SCMP_ACT_LOG","includes":{"minKernel":"new"}"#),
                "syscalls[1].includes.minKernel: \"new\" is not a kernel's version",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(told), "{text}: {error}");
        }
        assert!(read(&" ".repeat(MOST + 1)).unwrap_err().contains("at most"));
    }
}

//! SELinux's labels: of the program, of its session keyring, of what is mounted for it.

use super::Step;
use spec::bundle::{Linux, Process};

/// File systems that have labels of the policy's own, whatever a mount asks for.
const UNLABELLED: [&str; 4] = ["proc", "sysfs", "cgroup2", "mqueue"];

/// The JSON path of the first label, which needs a host where SELinux is on.
pub fn needed(process: Option<&Process>, linux: &Linux) -> Option<&'static str> {
    let process = process.is_some_and(|process| !process.selinux_label.is_empty());
    let labels = [("process.selinuxLabel", process), ("linux.mountLabel", !linux.mount_label.is_empty())];
    labels.into_iter().find(|(_, asked)| *asked).map(|(path, _)| path)
}

/// A session keyring of the container of this name, with the program's label.
pub(super) fn keyring(id: &str, label: &str) -> Vec<Step> {
    let name = format!("_ses.{id}");
    match label {
        "" => vec![Step::Keyring(name)],
        label => vec![Step::KeyLabel(label.to_owned()), Step::Keyring(name), Step::KeyLabel(String::new())],
    }
}

/// The parameter that labels a file system of this type as a whole, in quotes: a label has commas.
pub(super) fn context(kind: &str, label: &str) -> Option<String> {
    let is_labelled = !label.is_empty() && !UNLABELLED.contains(&kind);
    is_labelled.then(|| format!("context=\"{label}\""))
}

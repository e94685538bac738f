//! Cgroups of pods: `kubepods/{burstable,besteffort}/podUID`, the containers' own below them
//! (Linux, `cgroup-v2.rst`).

use super::qos;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// What a pod's cgroup is given: a file and its text each.
pub fn limits(spec: &PodSpec) -> Vec<(&'static str, String)> {
    let mut limits =
        vec![("cpu.weight", weight(qos::total(spec, |one| qos::request(one, "cpu"), false)).to_string())];
    if let Some(millis) = qos::total(spec, |one| qos::limit(one, "cpu"), true) {
        limits.push(("cpu.max", format!("{} 100000", (millis * 100).max(1000))));
    }
    if let Some(millis) = qos::total(spec, |one| qos::limit(one, "memory"), true) {
        limits.push(("memory.max", (millis / 1000).to_string()));
    }
    limits
}

/// `cpu.weight` of thousandths of a processor, as runc 1.4 and crun turn shares into it.
pub fn weight(millicpu: Option<i128>) -> u64 {
    let shares = qos::shares(millicpu.unwrap_or(0)) as f64;
    let exponent = shares.log2();
    let exponent = (exponent * exponent + 125.0 * exponent) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

/// The path of a cgroup below the hierarchy.
pub fn path(cgroup: &str) -> PathBuf {
    Path::new(spec::paths::CGROUP).join(cgroup)
}

/// Makes the cgroup of a pod and gives it its limits.
///
/// # Errors
/// Which file, and why, in words. A controller that the kernel has not is none.
pub fn make(pod: &Pod) -> Result<(), String> {
    let cgroup = super::container::cgroup(pod);
    let mut at = PathBuf::from(spec::paths::CGROUP);
    for part in Path::new(&cgroup) {
        pass_on(&at)?;
        at.push(part);
        fs::create_dir_all(&at).map_err(|error| format!("make {}: {}", at.display(), cause(&error)))?;
    }
    pass_on(&at)?;
    let Some(spec) = &pod.spec else { return Ok(()) };
    for (file, text) in limits(spec) {
        let file = at.join(file);
        match fs::write(&file, &text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("write {text} to {}: {}", file.display(), cause(&error))),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Cgroups below one get all its controllers.
fn pass_on(at: &Path) -> Result<(), String> {
    let all = fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
    let file = at.join("cgroup.subtree_control");
    let on = fs::read_to_string(&file).unwrap_or_default();
    let missing = all.split_whitespace().filter(|one| !on.split_whitespace().any(|other| other == *one));
    let words: Vec<String> = missing.map(|one| format!("+{one}")).collect();
    if words.is_empty() {
        return Ok(());
    }
    fs::write(&file, words.join(" ")).map_err(|error| format!("write {}: {}", file.display(), cause(&error)))
}

/// Kills what is left in a cgroup and removes it, with those below.
///
/// # Errors
/// Which, and why: what was killed may need a moment.
pub fn remove(cgroup: &str) -> Result<(), String> {
    let at = path(cgroup);
    let _ = fs::write(at.join("cgroup.kill"), "1");
    for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    match fs::remove_dir(&at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("remove {}: {}", at.display(), cause(&error)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_limited_when_all_its_containers_are() {
        let of = |containers: serde_json::Value| {
            limits(&serde_json::from_value(json!({ "containers": containers })).unwrap())
        };
        let limited = json!({ "name": "a", "resources": { "limits": { "cpu": "500m", "memory": "64Mi" } } });
        assert_eq!(
            of(json!([limited])),
            [
                ("cpu.weight", "59".into()),
                ("cpu.max", "50000 100000".into()),
                ("memory.max", "67108864".into())
            ]
        );
        assert_eq!(of(json!([limited, { "name": "b" }])).len(), 1);
        assert_eq!((weight(None), weight(Some(1000))), (1, 100));
    }
}

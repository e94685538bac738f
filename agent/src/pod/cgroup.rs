//! Cgroups of pods: `kubepods/{burstable,besteffort}/podUID`, the containers' own below them
//! (Linux, `cgroup-v2.rst`).

use super::huge;
use super::qos::{self, Class};
use super::resize::InForce;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// What a pod's cgroup is given: a file and its text each.
pub fn limits(spec: &PodSpec) -> Vec<(&'static str, String)> {
    let mut limits = vec![("cpu.weight", weight(qos::pod_request(spec, "cpu")).to_string())];
    if let Some(millis) = qos::pod_limit(spec, "cpu") {
        limits.push(("cpu.max", format!("{} 100000", (millis * 100).max(1000))));
    }
    if let Some(millis) = qos::pod_limit(spec, "memory") {
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

/// Thousandths of a processor that have a weight: the fewest of those that do.
pub fn request(weight: u64) -> u64 {
    let (mut low, mut high) = (0_u64, 262_144 * 1000 / 1024);
    while low < high {
        let middle = low.midpoint(high);
        if self::weight(Some(middle.into())) < weight { low = middle + 1 } else { high = middle }
    }
    low
}

/// What holds for a cgroup, by its files.
pub fn in_force(at: &Path) -> InForce {
    let text = |file: &str| fs::read_to_string(at.join(file)).ok();
    let number = |word: &str| if word == "max" { Some(u64::MAX) } else { word.parse().ok() };
    let cpu = text("cpu.max").and_then(|text| {
        let (quota, period) = text.trim().split_once(' ')?;
        let period: u64 = period.parse().ok().filter(|period| *period > 0)?;
        number(quota).map(|quota| if quota == u64::MAX { quota } else { quota.saturating_mul(1000) / period })
    });
    InForce {
        memory: text("memory.max").and_then(|text| number(text.trim())),
        cpu,
        weight: text("cpu.weight").and_then(|text| text.trim().parse().ok()),
        usage: text("memory.current").and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    }
}

/// The path of a cgroup below the hierarchy.
pub fn path(cgroup: &str) -> PathBuf {
    Path::new(spec::paths::CGROUP).join(cgroup)
}

/// Whether the kernel's hierarchy has a controller.
pub fn has(controller: &str) -> bool {
    let all = fs::read_to_string(path("cgroup.controllers")).unwrap_or_default();
    all.split_whitespace().any(|one| one == controller)
}

/// What a container's cgroup is given beside its own limits of processors and memory: a file and its text each. One that the cgroup
/// of its pod, which is `at`, has not, the kernel has not.
pub fn of_container(
    at: &Path,
    spec: &PodSpec,
    container: &Container,
) -> impl Iterator<Item = (String, String)> {
    let all = [
        // What is left of a program that lost one of its processes may be of no use, and runs on.
        ("memory.oom.group", "1"),
        // A kubelet's `NoSwap`. All pods together have none, either; here a program reads it in its own cgroup.
        ("memory.swap.max", "0"),
    ];
    let all = all.map(|(file, text)| (file.to_owned(), text.to_owned())).into_iter();
    all.chain(huge::of_container(spec, container)).filter(|(file, _)| at.join(file).exists())
}

/// What a pod's cgroup is given when it is made, with at most so many `tasks` if there is a limit.
fn first_limits(spec: &PodSpec, tasks: Option<u32>) -> impl Iterator<Item = (String, String)> {
    let limits = limits(spec).into_iter().chain(tasks.map(|most| ("pids.max", most.to_string())));
    limits.map(|(file, text)| (file.to_owned(), text)).chain(huge::of_pod(spec))
}

/// Makes the cgroup of a pod and gives it its limits; those of all pods' tasks are the node's to say.
///
/// # Errors
/// Which file, and why, in words. A controller that the kernel has not is none.
pub fn make(pod: &Pod, tasks: Option<u32>) -> Result<(), String> {
    let cgroup = super::container::cgroup(pod);
    let mut at = PathBuf::from(spec::paths::CGROUP);
    for part in Path::new(&cgroup) {
        pass_on(&at);
        at.push(part);
        fs::create_dir_all(&at).map_err(|error| format!("make {}: {}", at.display(), cause(&error)))?;
    }
    pass_on(&at);
    let Some(spec) = &pod.spec else { return Ok(()) };
    first_limits(spec, tasks).try_for_each(|(file, text)| put(&at, &file, &text))
}

/// Makes the cgroups of all classes. Whoever asks for nothing weighs the least, however many there are.
///
/// # Errors
/// Which file, and why, in words.
pub fn make_classes() -> Result<(), String> {
    pass_on(Path::new(spec::paths::CGROUP));
    for class in Class::ALL {
        let at = path(class.cgroup());
        fs::create_dir_all(&at).map_err(|error| format!("make {}: {}", at.display(), cause(&error)))?;
        pass_on(&at);
    }
    weigh(Class::BestEffort, 0)
}

/// Gives a class the weight of what its pods ask for together, in thousandths of a processor.
///
/// # Errors
/// Which file, and why, in words. A kernel that does not share out is none.
pub fn weigh(class: Class, millicpu: i128) -> Result<(), String> {
    put(&path(class.cgroup()), "cpu.weight", &weight(Some(millicpu)).to_string())
}

/// Writes a file of a cgroup.
///
/// # Errors
/// Which file, and why, in words. One that the kernel has not is none.
pub fn put(at: &Path, file: &str, text: &str) -> Result<(), String> {
    let file = at.join(file);
    // Not fs::write(): what would make a file is forbidden here, rather than told that there is none.
    let put = || File::options().write(true).open(&file)?.write_all(text.as_bytes());
    match put() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("write {text} to {}: {}", file.display(), cause(&error))),
        Ok(()) => Ok(()),
    }
}

/// Cgroups below one get all its controllers.
fn pass_on(at: &Path) {
    let all = fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
    let file = at.join("cgroup.subtree_control");
    let on = fs::read_to_string(&file).unwrap_or_default();
    let missing = all.split_whitespace().filter(|one| !on.split_whitespace().any(|other| other == *one));
    let words: Vec<String> = missing.map(|one| format!("+{one}")).collect();
    if words.is_empty() {
        return;
    }
    if fs::write(&file, words.join(" ")).is_err() {
        // One that cannot be had keeps no other away; the limit that wants it says so.
        words.iter().for_each(|one| drop(fs::write(&file, one)));
    }
}

/// Kills what is left in the cgroups of the pod with this UID and removes them, in whichever class it was: of one
/// whose record is gone nobody knows it.
///
/// # Errors
/// Which, and why: what was killed may need a moment.
pub fn remove(uid: &str) -> Result<(), String> {
    Class::ALL.iter().try_for_each(|class| remove_at(&path(class.cgroup()).join(format!("pod{uid}"))))
}

fn remove_at(at: &Path) -> Result<(), String> {
    let _ = fs::write(at.join("cgroup.kill"), "1");
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    match fs::remove_dir(at) {
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

    #[test]
    fn a_pod_has_no_more_tasks_than_the_node_allows_each() {
        let spec = PodSpec::default();
        let of = |tasks| {
            let all = first_limits(&spec, tasks);
            all.filter(|(file, _)| file == "pids.max").map(|(_, most)| most).collect::<Vec<_>>()
        };
        assert_eq!((of(None), of(Some(1024))), (Vec::new(), vec!["1024".to_owned()]));
    }

    #[test]
    fn a_weight_leads_back_to_what_was_asked_for() {
        for millicpu in [0, 10, 100, 250, 1000, 3500, 64_000] {
            let own = weight(Some(millicpu));
            let back = request(own);
            assert!(i128::from(back) <= millicpu && weight(Some(back.into())) == own, "{millicpu} {back}");
        }
    }

    #[test]
    fn a_container_has_no_swap_and_ends_as_a_whole_where_the_kernel_knows_that() {
        let folder = std::env::temp_dir().join(format!("skerry-of-containers-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (spec, container) = (PodSpec::default(), Container::default());
        assert_eq!(of_container(&folder, &spec, &container).count(), 0);
        for file in ["memory.oom.group", "memory.swap.max"] {
            fs::write(folder.join(file), "").unwrap();
        }
        let given = of_container(&folder, &spec, &container).map(|(file, text)| format!("{file}={text}"));
        let given: Vec<String> = given.collect();
        assert_eq!(given, ["memory.oom.group=1", "memory.swap.max=0"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_holds_is_read_from_files() {
        let folder = std::env::temp_dir().join(format!("skerry-in-force-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(in_force(&folder), InForce::default());
        for (file, text) in [("cpu.max", "50000 100000\n"), ("memory.max", "max\n"), ("cpu.weight", "59\n")] {
            fs::write(folder.join(file), text).unwrap();
        }
        let expected = InForce { memory: Some(u64::MAX), cpu: Some(500), weight: Some(59), usage: 0 };
        assert_eq!(in_force(&folder), expected);
        fs::write(folder.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(in_force(&folder).cpu, Some(u64::MAX));
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! Huge pages ("Manage HugePages"): memory that the machine has set aside in pages of a size (the kernel's
//! `Documentation/admin-guide/mm/hugetlbpage.rst`), each size a resource by its own name. What a pod has not asked for, it has
//! not.

use super::{qos, quantity};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use std::fs;
use std::path::Path;

/// A size of pages that processors of this kind have.
#[derive(Debug, PartialEq, Eq)]
pub struct Size {
    /// The resource's name.
    pub resource: &'static str,
    /// The kernel's name of it in cgroups' files (`hugetlb.SIZE.max`).
    kernel: &'static str,
    /// Bytes of a page.
    pub page: u64,
}

/// All of them.
pub const SIZES: [Size; 2] = [
    Size { resource: "hugepages-2Mi", kernel: "2MB", page: 2 << 20 },
    Size { resource: "hugepages-1Gi", kernel: "1GB", page: 1 << 30 },
];

/// Bytes of each size, in the order of [`SIZES`].
pub type Bytes = [u64; SIZES.len()];

/// What the machine has set aside, by `/sys/kernel/mm/hugepages`.
pub fn set_aside(folder: &Path) -> Bytes {
    SIZES.each_ref().map(|size| {
        let file = folder.join(format!("hugepages-{}kB/nr_hugepages", size.page >> 10));
        let count = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok());
        count.unwrap_or(0).saturating_mul(size.page)
    })
}

/// What the cgroup of a pod is given: a file and its text each.
pub fn of_pod(spec: &PodSpec) -> impl Iterator<Item = (String, String)> {
    SIZES.iter().flat_map(|size| files(size, qos::limits_together(spec, size.resource)))
}

/// What the cgroup of one of its containers is given: nothing when the pod has none anyway.
pub fn of_container(spec: &PodSpec, container: &Container) -> impl Iterator<Item = (String, String)> {
    let has = |size: &&Size| qos::limits_together(spec, size.resource).is_some();
    SIZES.iter().filter(has).flat_map(|size| files(size, qos::bound(spec, container, size.resource)))
}

/// Pages that are in use, and those that are kept for somebody's mapping.
fn files(size: &Size, millis: Option<i128>) -> [(String, String); 2] {
    let text = (millis.unwrap_or(0) / 1000).to_string();
    ["max", "rsvd.max"].map(|file| (format!("hugetlb.{}.{file}", size.kernel), text.clone()))
}

/// The size of an emptyDir's pages by its medium, `HugePages-SIZE`, or `HugePages` of who asks for one size alone.
///
/// # Errors
/// There is no such medium, or it is not said which size, in words.
pub fn of_medium(spec: &PodSpec, medium: &str) -> Result<&'static Size, String> {
    let unknown = || format!("emptyDir: there is no medium {medium:?} on this node");
    if medium == "HugePages" {
        let mut asked = SIZES.iter().filter(|size| qos::pod_request(spec, size.resource).is_some());
        return match (asked.next(), asked.next()) {
            (Some(size), None) => Ok(size),
            (None, _) => Err("emptyDir: medium HugePages of a pod that asks for none".to_owned()),
            _ => Err("emptyDir: medium HugePages of a pod that asks for more than one size".to_owned()),
        };
    }
    let size = medium.strip_prefix("HugePages-").and_then(quantity::units).ok_or_else(unknown)?;
    SIZES.iter().find(|own| i128::from(own.page) == size).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(requests: &[serde_json::Value]) -> PodSpec {
        let container = |own| json!({ "name": "m", "resources": { "limits": own, "requests": own } });
        serde_json::from_value(json!({ "containers": requests.iter().map(container).collect::<Vec<_>>() }))
            .unwrap()
    }

    #[test]
    fn the_machine_says_how_much_it_has_set_aside() {
        let folder = std::env::temp_dir().join(format!("skerry-huge-{}", std::process::id()));
        let size = folder.join("hugepages-2048kB");
        fs::create_dir_all(&size).unwrap();
        fs::write(size.join("nr_hugepages"), "8\n").unwrap();
        assert_eq!(set_aside(&folder), [16 << 20, 0]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_pod_and_each_container_have_what_they_ask_for_and_no_more() {
        let spec = spec(&[json!({ "hugepages-2Mi": "4Mi" }), json!({ "memory": "1Mi" })]);
        let texts = |all: Vec<(String, String)>| -> Vec<String> {
            all.into_iter().map(|(file, text)| format!("{file}={text}")).collect()
        };
        let most = ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304"];
        let none = ["hugetlb.1GB.max=0", "hugetlb.1GB.rsvd.max=0"];
        assert_eq!(texts(of_pod(&spec).collect()), [most, none].concat());
        let of = |which: usize| texts(of_container(&spec, &spec.containers[which]).collect());
        assert_eq!(of(0), most);
        assert_eq!(of(1), ["hugetlb.2MB.max=0", "hugetlb.2MB.rsvd.max=0"]);
        assert_eq!(of_container(&PodSpec::default(), &spec.containers[1]).count(), 0);
    }

    #[test]
    fn a_medium_names_a_size_or_leaves_it_to_the_pod() {
        let of = |spec: &PodSpec, medium| of_medium(spec, medium).map(|size| size.page);
        let one = spec(&[json!({ "hugepages-2Mi": "4Mi" })]);
        assert_eq!((of(&one, "HugePages"), of(&one, "HugePages-1Gi")), (Ok(2 << 20), Ok(1 << 30)));
        let both = spec(&[json!({ "hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi" })]);
        assert!(of(&both, "HugePages").unwrap_err().ends_with("more than one size"));
        assert!(of(&PodSpec::default(), "HugePages").unwrap_err().ends_with("asks for none"));
        assert!(of(&one, "HugePages-3Mi").is_err() && of(&one, "Tape").is_err());
    }
}

//! The bundle that every runtime runs: what Docker writes for `docker run`, without the
//! limits, for which this machine need not have controllers. Static busybox is all there is in it.

use crate::guest::folder;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tests::{Result, busybox};

/// The monitor's own list of system calls that are always allowed.
const ALWAYS: &str = include_str!("../../../monitor/src/bundle/seccomp-always.txt");

/// Socket families above `AF_DECnet` that are allowed.
const FAMILIES: [u64; 25] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];
/// Execution domains that are allowed.
const DOMAINS: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Docker's capabilities.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The root that all of them share.
pub fn rootfs() -> PathBuf {
    folder().join("rootfs")
}

/// Makes the root.
pub fn make_rootfs() -> Result<()> {
    let rootfs = rootfs();
    let _ = fs::remove_dir_all(&rootfs);
    for name in ["bin", "dev", "etc", "proc", "sys"] {
        fs::create_dir_all(rootfs.join(name))?;
    }
    fs::copy(busybox()?, rootfs.join("bin/busybox"))?;
    ["true", "sleep"].iter().try_for_each(|name| symlink("busybox", rootfs.join("bin").join(name)))?;
    Ok(())
}

/// Writes a bundle whose program is this one, and returns its folder.
pub fn make(name: &str, args: &[&str]) -> Result<PathBuf> {
    write(name, &config(args))
}

/// The same without a filter of system calls.
pub fn make_unfiltered(name: &str, args: &[&str]) -> Result<PathBuf> {
    let mut config = config(args);
    config["linux"].as_object_mut().map(|linux| linux.remove("seccomp"));
    write(name, &config)
}

fn write(name: &str, config: &Value) -> Result<PathBuf> {
    let bundle = folder().join(name);
    fs::create_dir_all(&bundle)?;
    fs::write(bundle.join("config.json"), config.to_string())?;
    Ok(bundle)
}

fn config(args: &[&str]) -> Value {
    let kinds = ["pid", "mount", "ipc", "uts", "cgroup", "network"];
    json!({
        // Debian's crun does not know later ones.
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
        },
        "root": { "path": rootfs() },
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {
            "namespaces": kinds.map(|kind| json!({ "type": kind })),
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 1,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": rules(),
            },
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    json!([
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &terminals),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
    ])
}

/// Docker's default profile, as the monitor writes it for these capabilities.
fn rules() -> Vec<Value> {
    let allow = |name: &str, op: &str, value: u64| {
        let argument = json!({ "index": 0, "value": value, "op": op });
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument] })
    };
    let always: Vec<&str> = ALWAYS.split_whitespace().chain(["chroot"]).collect();
    let mut rules = vec![
        json!({ "names": always, "action": "SCMP_ACT_ALLOW" }),
        allow("clone", "SCMP_CMP_MASKED_EQ", 0x7e02_0000),
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }),
        allow("socket", "SCMP_CMP_LT", 12),
    ];
    rules.extend(FAMILIES.map(|family| allow("socket", "SCMP_CMP_EQ", family)));
    rules.extend(DOMAINS.map(|domain| allow("personality", "SCMP_CMP_EQ", domain)));
    rules
}

//! The runtime from outside: containers of busybox, each test in namespaces of
//! its own, as root. `SKERRY_TEST_RUNTIME=runc` (or `crun`, or a path) tests
//! another runtime than ours; the suite is right when they pass it.

mod advisories;
mod command_line;
mod configuration;
mod copy_up;
mod descriptors;
mod devices;
mod exec;
mod faults;
mod hook_failures;
mod hooks;
mod idmapped;
mod labels;
mod lifecycle;
mod limits;
mod mount_namespaces;
mod mounts;
mod namespaces;
mod net_devices;
mod odd_configurations;
mod process;
mod root;
mod rootless;
mod seccomp;
mod seccomp_agent;
mod security;
mod support;
mod terminal;
mod torture;
mod user_namespaces;

//! The monitor from outside: under the keeper, as root, each test in namespaces of its own with
//! an empty `/run`, an empty `/var` and a cgroup v2 hierarchy; containers of busybox.

mod exec;
mod faults;
mod kills;
mod lifecycle;
mod logs;
mod memory;
mod network;
mod options;
mod pull;
mod streams;
mod support;

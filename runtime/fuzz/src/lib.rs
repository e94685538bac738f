//! The runtime's modules that decide without acting, and what holds for all inputs of theirs.
#![allow(dead_code, unused_imports)]

#[path = "../../src/bundle.rs"]
mod bundle;
#[path = "../../src/cgroup/mod.rs"]
mod cgroup;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/fuzz/mod.rs"]
mod fuzz;
#[path = "../../src/json_path.rs"]
mod json_path;
#[path = "../../src/plan/mod.rs"]
mod plan;
#[path = "../../src/seccomp/mod.rs"]
mod seccomp;

mod mutate;

pub use fuzz::{config, mount_options, seccomp};
pub use mutate::json as mutate_json;

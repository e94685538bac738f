//! The runtime under other people's engines: Debian's podman, containerd and docker, in a
//! virtual machine that a test leaves to the next. `SKERRY_TEST_RUNTIME=runc` (or `crun`) tests Debian's instead
//! of ours; the tests are right when they pass them. The image store, on a file system that seals
//! files, is here because it needs the same machine.

mod black_box;
mod bundle;
mod containerd;
mod docker;
mod engine;
mod exchange;
mod limits;
mod podman;
mod podman_life;
mod podman_options;
mod seals;
mod systemd;
mod userns;
mod workstation;

//! The runtime under other people's engines: Debian's podman, containerd and docker, in one
//! virtual machine for all tests here. `SKERRY_TEST_RUNTIME=runc` (or `crun`) tests Debian's instead
//! of ours; the tests are right when they pass them. The image store, on a file system that seals
//! files, is here because it needs the same machine.

mod podman;
mod seals;
mod systemd;

//! The runtime under other people's engines: Debian's podman, containerd and docker, in one
//! virtual machine for all tests here. `SKERRY_TEST_RUNTIME=runc` (or `crun`) tests Debian's instead
//! of ours; the tests are right when they pass them.

mod podman;
mod systemd;

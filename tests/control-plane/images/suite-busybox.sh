# What Kubernetes' own tests take for busybox.
# shellcheck source=tests/control-plane/images/suite-tools
. "$from/suite-tools"
config+=(--config.cmd sh)

layers() {
    tools "$1/0.tar"
}

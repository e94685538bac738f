# Kubernetes' own tests' image of a user that is not root.
# shellcheck source=tests/control-plane/images/suite-tools
. "$from/suite-tools"
config+=(--config.cmd sh --config.user 1234)

layers() {
    tools "$1/0.tar"
}

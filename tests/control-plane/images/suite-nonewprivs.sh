# Kubernetes' own tests' program that is root's for everybody, and tells whose it is.
# shellcheck source=tests/control-plane/images/suite-tools
. "$from/suite-tools"
inputs+=("$from/suite-nonewprivs.c")
config+=(--config.cmd nnp)

layers() {
    tools "$1/0.tar"
    mkdir -p "$work/own/usr/local/bin"
    gcc -Os -static -s -o "$work/own/usr/local/bin/nnp" "$from/suite-nonewprivs.c"
    chmod u+s,g+s "$work/own/usr/local/bin/nnp"
    layer "$work/own" "$1/1.tar"
}

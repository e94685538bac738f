# The cluster's name server, built from its Go module.
packages=()
inputs=("$from/../coredns/go.mod" "$from/../coredns/go.sum")
kind=oci-archive
config=(--config.entrypoint /coredns --config.exposedports 53/udp)

layers() {
    local programs
    programs=$("$here/../../tools/control-plane" coredns)
    tar -C "$programs" --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/0.tar" coredns
}

# What makes persistent volumes of folders of nodes, built from its Go module.
packages=()
inputs=("$from/../helm/go.mod" "$from/../helm/go.sum")
kind=oci-archive
config=(--config.env PATH=/usr/bin)

layers() {
    local programs
    programs=$("$here/../../tools/control-plane" helm)
    tar -C "$programs" --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --transform 's,^,usr/bin/,' \
        -cf "$1/0.tar" local-path-provisioner
}

# What `kubectl top` asks, built from its Go module.
packages=()
inputs=("$from/../metrics-server/go.mod" "$from/../metrics-server/go.sum")
kind=oci-archive
config=(--config.entrypoint /metrics-server --config.exposedports 10250/tcp --config.user 1000:1000)

layers() {
    local programs
    programs=$("$here/../../tools/control-plane" metrics-server)
    mkdir "$work/more"
    install -d -m 1777 "$work/more/tmp"
    tar -C "$programs" --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/0.tar" metrics-server
    tar -C "$work/more" --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/1.tar" tmp
}

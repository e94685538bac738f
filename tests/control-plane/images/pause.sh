# What holds a pod's namespaces under containerd: one process that sleeps.
packages=(libc6-dev)
inputs=("$from/pause.c")
kind=oci-archive
config=(--config.entrypoint /pause)

layers() {
    mkdir "$work/pause"
    gcc -Os -static -s -o "$work/pause/pause" "$from/pause.c"
    tar -C "$work/pause" --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/0.tar" pause
}

# What tells Prometheus of a node, from Debian's package.
packages=(prometheus-node-exporter libc6)
kind=oci-archive
config=(--config.entrypoint /usr/bin/prometheus-node-exporter --config.user 65534)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /usr/bin/prometheus-node-exporter" prometheus-node-exporter,libc6
}

# Busybox as images for restricted namespaces have their program: for a user who is not root, as a file with a capability,
# and with a VOLUME that has a page in it.
packages=(busybox-static)
kind=oci-archive
config=(--config.cmd /bin/sh --config.env PATH=/bin --config.user 65532:65532 --config.volume /data)

layers() {
    command -v python3 >/dev/null || fail "python3 is not installed; it is in the Debian package python3"
    unpack "$1/0.tar" "$here/keep \"\$1\" /bin/busybox && $here/busybox-files \"\$1\"" busybox-static
    tar -xOf "$1/0.tar" ./bin/busybox >"$work/busybox"
    python3 "$here/restricted.py" "$work/busybox" "$1/1.tar"
}

# Debian's static busybox with a link per applet.
packages=(busybox-static)
kind=docker-archive
config=(--config.cmd /bin/sh --config.env PATH=/bin)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /bin/busybox && $here/busybox-files \"\$1\"" busybox-static
}

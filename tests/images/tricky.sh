# Everything that a layer's tar can hold and a careless store loses, over three
# layers, with a program `/check` that looks for it from within a container.
packages=(busybox-static)
kind=oci-archive
config=(
    --config.cmd /bin/sh --config.cmd /check --config.env PATH=/bin
    --config.user 1000:1000 --config.workingdir /home/user
)

layers() {
    command -v python3 >/dev/null || fail "python3 is not installed; it is in the Debian package python3"
    unpack "$1/0.tar" "$here/keep \"\$1\" /bin/busybox && $here/busybox-files \"\$1\"" busybox-static
    tar -xOf "$1/0.tar" ./bin/busybox >"$work/busybox"
    python3 "$here/tricky.py" "$work/busybox" "$here/tricky-check" "$1"
}

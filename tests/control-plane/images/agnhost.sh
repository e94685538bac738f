# What Kubernetes' own tests run in pods: agnhost, built from its Go module, with the programs that they call.
packages=(busybox-static bash curl netcat-openbsd iproute2 libc6)
inputs=("$from/../agnhost/go.mod" "$from/../agnhost/go.sum" "$here/busybox-files")
kind=oci-archive
config=(--config.entrypoint /agnhost --config.cmd pause --config.env PATH=/usr/sbin:/usr/bin:/sbin:/bin)

layers() {
    local programs
    programs=$("$here/../../tools/control-plane" agnhost)
    unpack "$1/0.tar" "$here/keep \"\$1\" /bin/busybox && $here/busybox-files \"\$1\"" busybox-static
    unpack "$1/1.tar" "$here/keep \"\$1\" /bin/bash /usr/bin/curl /bin/nc.openbsd /bin/ip /bin/ss && \
        ln -s nc.openbsd \"\$1/bin/nc\"" bash,curl,netcat-openbsd,iproute2
    tar -C "$programs" --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/2.tar" agnhost
}

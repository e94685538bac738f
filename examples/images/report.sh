# The job: Debian's Python and a program that asks the back end.
packages=(python3-minimal python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6)
kind=oci-archive
config=(--config.entrypoint /usr/bin/python3 --config.cmd /srv/report.py --config.user 65534:65534)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /usr/bin/python3 /usr/bin/python3.11 /usr/lib/python3.11" \
        python3-minimal,python3.11-minimal,libpython3.11-stdlib
    install -D -m 644 "$from/report.py" "$work/report/srv/report.py"
    tar -C "$work/report" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/1.tar" srv
}

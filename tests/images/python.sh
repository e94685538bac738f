# Debian's smallest Python.
packages=(python3-minimal python3.11-minimal libpython3.11-minimal libc6)
kind=docker-archive
config=(--config.entrypoint /usr/bin/python3 --config.env PATH=/usr/bin)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /usr/bin/python3 /usr/bin/python3.11 /usr/lib/python3.11" \
        python3-minimal,python3.11-minimal
}

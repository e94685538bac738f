# The back end: Debian's Node.js and PostgreSQL client, and the shop's program.
packages=(nodejs node-pg libnode108 libc6)
kind=oci-archive
config=(
    --config.entrypoint /usr/bin/node --config.cmd /srv/back.js --config.env NODE_PATH=/usr/share/nodejs
    --config.exposedports 3000/tcp --config.user 65534:65534
)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /usr/bin/node /usr/share/nodejs" nodejs,node-pg
    install -D -m 644 "$from/back.js" "$work/back/srv/back.js"
    tar -C "$work/back" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf "$1/1.tar" srv
}

# The web front end: nginx with the shop's page; what is below /api/ is the back end's.
packages=(nginx-light libc6 libssl3 libpcre2-8-0 zlib1g)
kind=oci-archive
config=(
    --config.entrypoint /usr/sbin/nginx --config.cmd -g --config.cmd 'daemon off;'
    --config.exposedports 8080/tcp --config.stopsignal SIGQUIT --config.user 33:33
)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /usr/sbin/nginx /etc/nginx/mime.types && $from/front-files \"\$1\"" nginx-light
}

# nginx as Debian builds it, with one page.
packages=(nginx-light libc6 libssl3 libpcre2-8-0 zlib1g)
kind=oci-archive
config=(
    --config.entrypoint /usr/sbin/nginx --config.cmd -g --config.cmd 'daemon off;'
    --config.exposedports 80/tcp --config.stopsignal SIGQUIT
)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" /usr/sbin/nginx /etc/nginx/mime.types && $here/nginx-files \"\$1\"" nginx-light
}

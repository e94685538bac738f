# What most of Kubernetes' own tests run in pods, built from its Go module.
# shellcheck source=tests/control-plane/images/suite-tools
. "$from/suite-tools"
inputs+=("$from/../agnhost/go.mod" "$from/../agnhost/go.sum" "$from/pause.c" "$from/pause.sh")
config+=(--config.entrypoint /agnhost --config.cmd pause)

layers() {
    tools "$1/0.tar"
    mkdir "$work/own"
    cp "$("$here/../../tools/control-plane" agnhost)/agnhost" "$work/own"
    ln -s agnhost "$work/own/agnhost-2"
    mkdir "$work/own/uploads"
    quietly openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
        -keyout "$work/own/localhost.key" -out "$work/own/localhost.crt"
    chmod 644 "$work/own/localhost.key"
    registry "$work/own/var/registry/pause"
    layer "$work/own" "$1/1.tar"
}

# registry FOLDER: pause:testing as agnhost's own registry serves it, documents and blobs by their digests.
registry() {
    local blob digest
    quietly skopeo --insecure-policy copy "oci-archive:$("$here/build" "$from/pause")" "dir:$work/pause"
    rm "$work/pause/version"
    for blob in "$work"/pause/*; do
        digest=$(sha256sum <"$blob" | cut -c1-64)
        case $blob in
        *.json)
            install -D -m 644 "$blob" "$1/manifests/sha256/${digest:0:2}/$digest/data"
            echo "sha256:$digest" >"$1/manifests/testing"
            ;;
        *) install -D -m 644 "$blob" "$1/blobs/sha256/${digest:0:2}/$digest/data" ;;
        esac
    done
}

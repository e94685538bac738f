//! Archives of images, between the store and other people's engines.

use crate::engine::{Cgroups, Engine};
use tests::Result;

#[test]
fn what_is_saved_docker_and_podman_load_and_what_they_save_is_loaded() -> Result {
    let docker = Engine::docker(Cgroups::Systemd)?;
    let run = |line: &str| docker.debian.run(line);
    let (skerry, ours) = ("skerry --store /run/exchange", "registry.example/app:1");
    run(&format!("mkdir -p /run/exchange && {skerry} load --name {ours} /given/images/busybox.tar"))?;
    let layers = |name: &str| run(&format!("{skerry} image inspect -f '{{{{json .RootFS.Layers}}}}' {name}"));
    for engine in ["docker", "podman"] {
        run(&format!("{skerry} save {ours} | {engine} load"))?;
        assert_eq!(run(&format!("{engine} run --rm --network none {ours} echo here"))?, "here\n");
        let theirs = format!("registry.example/{engine}:1");
        run(&format!("{engine} tag {ours} {theirs} && {engine} save {theirs} | {skerry} load"))?;
        assert_eq!(layers(&theirs)?, layers(ours)?, "{engine}");
    }
    Ok(())
}

//! Verbs killed at any moment.

use crate::Scene;
use crate::helpers::PROGRAM;

const REQUEST: &str = r#"{"networks": [{"network": "bridge"}], "ports": ["8080:80"]}"#;

/// Twenty rounds: attach killed, detach killed, both at a later moment each time.
#[test]
fn a_verb_killed_at_any_moment_is_mended_by_the_next() {
    let scene = Scene::new();
    scene.attach("other", r#"{"networks": [{"network": "bridge"}]}"#);
    scene.run(&format!("echo '{REQUEST}' > /run/request; {PROGRAM} attach --container web < /run/request"));
    scene.detach("web");
    let without = scene.everything();
    for round in 0..20 {
        let moment = format!("0.{:04}", round * 15);
        let killed = |verb: &str| {
            scene.run(&format!(
                "{PROGRAM} {verb} --container web < /run/request >/dev/null 2>&1 & sleep {moment}; kill -KILL $! 2>/dev/null; wait || true"
            ));
        };
        killed("attach");
        scene.run(&format!("{PROGRAM} attach --container web < /run/request"));
        let whole = scene
            .run("nft list table inet skerry; ip -o link; nsenter --net=/run/skerry/netns/web ip -o address");
        for words in ["tcp . 8080 : 10.210.0.3 . 80", "skerry0p2", "inet 10.210.0.3/22"] {
            assert!(whole.contains(words), "round {round}: no {words:?} in {whole}");
        }
        killed("detach");
        scene.detach("web");
        assert_eq!(scene.everything(), without, "round {round}");
    }
}

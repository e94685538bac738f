//! Which version of Kubernetes this node says that it is: the one whose kubelet the agent behaves as, or the API server's when
//! that is an earlier one, since no node may be newer than its API server (Kubernetes' version skew policy).

use crate::api::Api;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// Minor versions that the agent behaves as: the earliest, and the newest.
const MINORS: (u32, u32) = (31, 36);

/// How often it is asked again: API servers are updated.
const LOOK: Duration = Duration::from_secs(3600);

/// The same of one that has not answered.
const AGAIN: Duration = Duration::from_secs(10);

static MINOR: AtomicU32 = AtomicU32::new(MINORS.1);

/// The minor version.
pub fn minor() -> u32 {
    MINOR.load(Ordering::Relaxed)
}

/// The version, as a kubelet writes it.
pub fn version() -> String {
    format!("v1.{}.0+skerry-{}", minor(), env!("CARGO_PKG_VERSION"))
}

/// How long pods wait for the first answer: they go on while the API server is away.
const FIRST: Duration = Duration::from_secs(1);

/// Asks for the first time, so that the node's first word of itself is right where the API server is there.
pub async fn first(api: &Api) {
    let _ = timeout(FIRST, look(api)).await;
}

/// Asks the API server for its own; when it gives none, what was last known stands. Whether it has.
async fn look(api: &Api) -> bool {
    let Ok(info) = api.client().apiserver_version().await else { return false };
    if let Some(minor) = of(&info.minor) {
        MINOR.store(minor, Ordering::Relaxed);
    }
    true
}

/// Asks until there is an answer, then now and then, for ever, and whenever there are new connections.
pub async fn keep(api: &Api) {
    loop {
        let pause = if look(api).await { LOOK } else { AGAIN };
        let _ = timeout(pause, api.replaced()).await;
    }
}

/// The minor version that goes with an API server's, which may have a `+` behind it.
fn of(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    digits.parse::<u32>().ok().map(|minor| minor.clamp(MINORS.0, MINORS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_is_newer_than_its_api_server() {
        assert_eq!(["36", "35", "35+", "40", "20"].map(of), [36, 35, 35, 36, 31].map(Some));
        assert_eq!(of("x"), None);
    }
}

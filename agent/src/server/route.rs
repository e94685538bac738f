//! Which path asks for what, and which right that takes: the paths of the kubelet's own server.

use super::stats::CHECKS;
use http::Method;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/healthz`, all checks together.
    Healthz,
    /// This one of the checks below `/healthz`.
    Check(&'static str),
    /// `/pods`.
    Pods,
    /// `/runningpods/`.
    RunningPods,
    /// `/stats/summary`.
    Summary,
    /// `/metrics`.
    Metrics,
    /// `/metrics/resource`.
    ResourceMetrics,
    /// `/metrics/cadvisor`.
    CadvisorMetrics,
    /// `/metrics/probes`.
    ProbeMetrics,
    /// `/metrics/slis`.
    CheckMetrics,
    /// `/configz`.
    Configz,
    /// `/statusz`.
    Statusz,
    /// `/flagz`.
    Flagz,
    /// `/logs` and all below it.
    Files,
    /// `/containerLogs/NAMESPACE/POD/CONTAINER`.
    Logs(Target),
    /// `/exec/NAMESPACE/POD[/UID]/CONTAINER`.
    Exec(Target),
    /// `/attach/NAMESPACE/POD[/UID]/CONTAINER`.
    Attach(Target),
    /// `/portForward/NAMESPACE/POD[/UID]`.
    PortForward(Target),
    /// There is such a path, but not by this method.
    WrongMethod,
    /// There is no such path.
    Unknown,
}

/// What a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID, if it is named.
    pub uid: Option<String>,
    /// The container; empty where none is named.
    pub container: String,
}

/// What a request asks for.
#[must_use]
pub fn route(method: &Method, path: &str) -> Route {
    let words: Vec<&str> = path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
    let (found, posts) = match *words {
        ["healthz"] => (Route::Healthz, false),
        ["healthz", check] => match CHECKS.iter().find(|own| **own == check) {
            Some(own) => (Route::Check(own), false),
            None => return Route::Unknown,
        },
        ["pods"] => (Route::Pods, false),
        ["runningpods"] => (Route::RunningPods, false),
        ["stats", "summary"] => (Route::Summary, true),
        ["metrics"] => (Route::Metrics, false),
        ["metrics", "resource"] => (Route::ResourceMetrics, false),
        ["metrics", "cadvisor"] => (Route::CadvisorMetrics, false),
        ["metrics", "probes"] => (Route::ProbeMetrics, false),
        ["metrics", "slis"] => (Route::CheckMetrics, false),
        ["configz"] => (Route::Configz, false),
        ["statusz"] => (Route::Statusz, false),
        ["flagz"] => (Route::Flagz, false),
        ["logs", ..] => (Route::Files, false),
        ["containerLogs", namespace, pod, container] => {
            (Route::Logs(Target::of(namespace, pod, None, container)), false)
        }
        ["exec", namespace, pod, container] => {
            (Route::Exec(Target::of(namespace, pod, None, container)), true)
        }
        ["exec", namespace, pod, uid, container] => {
            (Route::Exec(Target::of(namespace, pod, Some(uid), container)), true)
        }
        ["attach", namespace, pod, container] => {
            (Route::Attach(Target::of(namespace, pod, None, container)), true)
        }
        ["attach", namespace, pod, uid, container] => {
            (Route::Attach(Target::of(namespace, pod, Some(uid), container)), true)
        }
        ["portForward", namespace, pod] => (Route::PortForward(Target::of(namespace, pod, None, "")), true),
        ["portForward", namespace, pod, uid] => {
            (Route::PortForward(Target::of(namespace, pod, Some(uid), "")), true)
        }
        _ => return Route::Unknown,
    };
    match *method {
        Method::GET => found,
        Method::HEAD if !posts => found,
        Method::POST if posts => found,
        _ => Route::WrongMethod,
    }
}

impl Target {
    fn of(namespace: &str, pod: &str, uid: Option<&str>, container: &str) -> Self {
        let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
        Self { namespace, pod, uid: uid.map(str::to_owned), container }
    }
}

/// What the API server is asked about a request: a verb, and subresources of this node of which
/// one suffices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// `get`, `create`, …; empty for a method that has none.
    pub verb: &'static str,
    /// `proxy`, `log`, …
    pub subresources: &'static [&'static str],
}

/// Which right a request takes ("Kubelet authorization" of Kubernetes' documentation).
#[must_use]
pub fn right(method: &Method, path: &str) -> Right {
    let verb = match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    };
    let of =
        |first: &str| path == first || path.strip_prefix(first).is_some_and(|rest| rest.starts_with('/'));
    let table: [(&str, &'static [&'static str]); 10] = [
        ("/pods", &["pods", "proxy"]),
        ("/runningpods", &["pods", "proxy"]),
        ("/healthz", &["healthz", "proxy"]),
        ("/configz", &["configz", "proxy"]),
        ("/stats", &["stats"]),
        ("/metrics", &["metrics"]),
        ("/logs", &["log"]),
        ("/checkpoint", &["checkpoint"]),
        ("/statusz", &["statusz"]),
        ("/flagz", &["configz"]),
    ];
    let found = table.into_iter().find(|(first, _)| of(first)).map(|(_, subresources)| subresources);
    Right { verb, subresources: found.unwrap_or(&["proxy"]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_pod_and_a_container() {
        let target = |uid: Option<&str>, container: &str| Target::of("ns", "web-1", uid, container);
        for (method, path, expected) in [
            (Method::POST, "/exec/ns/web-1/app", Route::Exec(target(None, "app"))),
            (Method::GET, "/exec/ns/web-1/abc/app", Route::Exec(target(Some("abc"), "app"))),
            (Method::GET, "/attach/ns/web-1/app/", Route::Attach(target(None, "app"))),
            (Method::POST, "/portForward/ns/web-1", Route::PortForward(target(None, ""))),
            (Method::POST, "/portForward/ns/web-1/abc", Route::PortForward(target(Some("abc"), ""))),
            (Method::GET, "/containerLogs/ns/web-1/app", Route::Logs(target(None, "app"))),
            (Method::POST, "/containerLogs/ns/web-1/app", Route::WrongMethod),
            (Method::DELETE, "/exec/ns/web-1/app", Route::WrongMethod),
            (Method::GET, "/runningpods/", Route::RunningPods),
            (Method::GET, "/stats/summary", Route::Summary),
            (Method::GET, "/metrics/slis", Route::CheckMetrics),
            (Method::GET, "/logs", Route::Files),
            (Method::HEAD, "/logs/pods/a%20b/0.log", Route::Files),
            (Method::POST, "/logs/", Route::WrongMethod),
            (Method::GET, "/statusz", Route::Statusz),
            (Method::GET, "/flagz/more", Route::Unknown),
            (Method::GET, "/healthz", Route::Healthz),
            (Method::GET, "/healthz/syncloop", Route::Check("syncloop")),
            (Method::GET, "/healthz/other", Route::Unknown),
            (Method::GET, "/stats/../exec/ns/web-1/app", Route::Unknown),
            (Method::GET, "/exec/ns/web-1", Route::Unknown),
            (Method::GET, "/", Route::Unknown),
        ] {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_right_is_as_narrow_as_the_path() {
        for (method, path, verb, subresources) in [
            (Method::GET, "/healthz", "get", &["healthz", "proxy"][..]),
            (Method::GET, "/healthz/ping", "get", &["healthz", "proxy"]),
            (Method::GET, "/pods", "get", &["pods", "proxy"]),
            (Method::GET, "/podsandmore", "get", &["proxy"]),
            (Method::GET, "/runningpods/", "get", &["pods", "proxy"]),
            (Method::GET, "/configz", "get", &["configz", "proxy"]),
            (Method::GET, "/stats/summary", "get", &["stats"]),
            (Method::GET, "/metrics/cadvisor", "get", &["metrics"]),
            (Method::GET, "/metrics/slis", "get", &["metrics"]),
            (Method::GET, "/logs/kern.log", "get", &["log"]),
            (Method::POST, "/exec/ns/web-1/app", "create", &["proxy"]),
            (Method::GET, "/containerLogs/ns/web-1/app", "get", &["proxy"]),
            (Method::OPTIONS, "/metrics", "", &["metrics"]),
        ] {
            assert_eq!(right(&method, path), Right { verb, subresources }, "{method} {path}");
        }
    }
}

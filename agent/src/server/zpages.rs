//! `/statusz` and `/flagz`: what this agent is, and how it is configured, for who looks for a fault (KEP-4827,
//! KEP-4828). As text, whose form may change; as JSON by its version.

use super::answer::{Answer, text, with_type};
use super::stats::began;
use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use spec::timestamp::rfc3339_seconds;
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// Paths of the server, as a kubelet lists its own.
const PATHS: &[&str] = &[
    "/attach/",
    "/configz",
    "/containerLogs/",
    "/exec/",
    "/flagz",
    "/healthz",
    "/logs/",
    "/metrics",
    "/metrics/cadvisor",
    "/metrics/probes",
    "/metrics/resource",
    "/metrics/slis",
    "/pods",
    "/portForward/",
    "/runningpods/",
    "/stats/",
    "/statusz",
];

/// The version of Kubernetes that it behaves as.
const VERSION: &str = "1.36";

/// Answers `/statusz`; `accept` is the header of that name.
pub fn statusz(accept: Option<&str>) -> Answer {
    let started = began().unwrap_or(0);
    let up = u64::try_from(Timestamp::now().as_second()).unwrap_or(0).saturating_sub(started);
    match form(accept, "Statusz") {
        None => refused("Statusz"),
        Some(Form::Json) => object(
            "Statusz",
            json!({
                "startTime": rfc3339_seconds(started),
                "uptimeSeconds": up,
                "goVersion": "",
                "binaryVersion": VERSION,
                "paths": PATHS,
            }),
        ),
        Some(Form::Text) => {
            let (begun, paths) = (rfc3339_seconds(started), PATHS.join(" "));
            page(
                "statusz",
                &format!(
                    "\nStarted: {begun}\nUp: {}\nBinary version: {VERSION}\n\nPaths: {paths}\n",
                    span(up)
                ),
            )
        }
    }
}

/// Answers `/flagz`: what of the configuration `/configz` shows, which has no secrets.
pub fn flagz(accept: Option<&str>, configuration: &Value) -> Answer {
    let flags = flags(configuration);
    match form(accept, "Flagz") {
        None => refused("Flagz"),
        Some(Form::Json) => object("Flagz", json!({ "flags": flags })),
        Some(Form::Text) => {
            page("flagz", &flags.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>())
        }
    }
}

fn flags(configuration: &Value) -> BTreeMap<&str, String> {
    let all = configuration.as_object().into_iter().flatten();
    let own = all.filter(|(name, _)| !matches!(name.as_str(), "kind" | "apiVersion"));
    own.map(|(name, value)| (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}

/// The first form of those that a client takes which there is: text, or JSON of our version.
fn form(accept: Option<&str>, kind: &str) -> Option<Form> {
    let Some(accept) = accept.filter(|own| !own.trim().is_empty()) else { return Some(Form::Text) };
    accept.split(',').find_map(|one| {
        let mut words = one.split(';').map(str::trim);
        let asked: Vec<&str> = match words.next()? {
            "*/*" | "text/*" | "text/plain" => return Some(Form::Text),
            "application/json" | "application/*" => words.collect(),
            _ => return None,
        };
        let wanted = ["g=config.k8s.io".to_owned(), "v=v1beta1".to_owned(), format!("as={kind}")];
        wanted.iter().all(|one| asked.contains(&one.as_str())).then_some(Form::Json)
    })
}

fn refused(kind: &str) -> Answer {
    let words = format!(
        "only the following media types are accepted: text/plain, application/json;g=config.k8s.io;v=v1beta1;as={kind}\n"
    );
    text(StatusCode::NOT_ACCEPTABLE, words)
}

fn object(kind: &str, content: Value) -> Answer {
    let mut object =
        json!({ "kind": kind, "apiVersion": "config.k8s.io/v1beta1", "metadata": { "name": "kubelet" } });
    if let (Some(object), Value::Object(content)) = (object.as_object_mut(), content) {
        object.extend(content);
    }
    with_type(StatusCode::OK, "application/json", format!("{object}\n"))
}

fn page(name: &str, content: &str) -> Answer {
    let warning = "This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and \
                   is for debugging purposes only.";
    text(StatusCode::OK, format!("\nkubelet {name}\nWarning: {warning}\n{content}"))
}

/// Hours, minutes and seconds.
fn span(seconds: u64) -> String {
    format!("{} hr {:02} min {:02} sec", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[test]
    fn a_form_is_that_which_a_client_takes_first() {
        let json = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
        for (accept, expected) in [
            (None, Some(Form::Text)),
            (Some(" "), Some(Form::Text)),
            (Some("*/*"), Some(Form::Text)),
            (Some("text/plain; q=1"), Some(Form::Text)),
            (Some(json), Some(Form::Json)),
            (Some("application/yaml, text/plain"), Some(Form::Text)),
            (Some("application/json"), None),
            (Some("application/json;v=v1beta1;g=config.k8s.io;as=Flagz"), None),
            (Some("application/vnd.kubernetes.protobuf"), None),
        ] {
            assert_eq!(form(accept, "Statusz"), expected, "{accept:?}");
        }
    }

    async fn body(answer: Answer) -> (u16, String) {
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_pages_say_what_this_agent_is() {
        let (status, page) = body(statusz(None)).await;
        assert_eq!(status, 200);
        assert!(page.starts_with("\nkubelet statusz\nWarning: ") && page.contains("\nUp: 0 hr 0"), "{page}");
        let json = |kind: &str| format!("application/json;v=v1beta1;g=config.k8s.io;as={kind}");
        let (_, own) = body(statusz(Some(&json("Statusz")))).await;
        let own: Value = serde_json::from_str(&own).unwrap();
        assert_eq!((&own["kind"], &own["apiVersion"]), (&"Statusz".into(), &"config.k8s.io/v1beta1".into()));
        assert!(own["paths"].as_array().unwrap().contains(&"/statusz".into()) && PATHS.is_sorted());
        assert_eq!(body(statusz(Some("image/png"))).await.0, 406);
        let configuration =
            json!({ "kind": "K", "port": 10250, "clusterDomain": "a.b", "authentication": { "x": true } });
        let (_, page) = body(flagz(None, &configuration)).await;
        assert!(page.ends_with("\nauthentication={\"x\":true}\nclusterDomain=a.b\nport=10250\n"), "{page}");
        let (_, own) = body(flagz(Some(&json("Flagz")), &configuration)).await;
        let own: Value = serde_json::from_str(&own).unwrap();
        assert_eq!(own["flags"]["port"], "10250");
    }
}

//! A container as `inspect` shows it: Docker's `ContainerJSON`. What it is comes from its definition and its image,
//! so that it is told in the same words whether it runs or not; what its bundle makes of it stands beside, as `OciConfig`.

use super::host;
use crate::client::Client;
use crate::commands::{Node, list, network, unexpected};
use crate::error::Result;
use crate::time;
use serde_json::{Map, Value, json};
use spec::monitor::{Checks, Health, Reply, Request, Summary};
use spec::network::Attached;
use spec::node::Container;
use spec::timestamp::{rfc3339, rfc3339_seconds};
use store::{Config, Healthcheck};

/// A moment that there never was, as Go writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A container for `inspect`, with what it has on the disk if its `size` is asked for.
///
/// # Errors
/// There is none, or the monitor does not answer.
pub fn container(node: &Node<'_>, name: &str, size: bool) -> Result<Value> {
    let mut client = Client::ask(node.socket, &Request::Inspect { name: name.to_owned() })?;
    match client.reply()? {
        Reply::Container {
            summary,
            container,
            config,
            config_follows,
            root,
            log,
            written,
            attached,
            remove,
            stdin_once,
            seccomp,
            checks,
        } => {
            let config = if config_follows { Some(client.rest()?) } else { config };
            let bundle = config.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let image = image(node, &summary, &container);
            let places = Places { bundle, root, log };
            let mut object = object(&summary, &container, &image, attached.as_deref(), &places);
            object["HostConfig"]["AutoRemove"] = remove.into();
            object["Config"]["StdinOnce"] = stdin_once.into();
            if let Some(health) = summary.status.health {
                object["State"]["Health"] = checked(health, checks.as_deref());
            }
            if size {
                let (own, all) = list::sizes(node, &summary, &written);
                (object["SizeRw"], object["SizeRootFs"]) = (own.into(), all.into());
            }
            if let (Some(profile), Value::Array(security)) =
                (seccomp, &mut object["HostConfig"]["SecurityOpt"])
            {
                security.push(format!("seccomp={}", json!(profile)).into());
            }
            Ok(object)
        }
        other => Err(unexpected(&other)),
    }
}

/// What its image says; nothing where that is damaged.
fn image(node: &Node<'_>, summary: &Summary, container: &Container) -> Config {
    let stores = node.stores();
    let found = match &summary.digest {
        Some(digest) => {
            digest.parse().ok().and_then(|digest| stores.resolve_digest(&container.image, &digest).ok())
        }
        None => stores.resolve(&container.image).ok(),
    };
    found.map(|image| image.config).unwrap_or_default()
}

/// What the monitor has of it on disk.
struct Places {
    bundle: Value,
    root: Option<String>,
    log: String,
}

fn object(
    summary: &Summary,
    container: &Container,
    image: &Config,
    attached: Option<&Attached>,
    places: &Places,
) -> Value {
    let (entrypoint, cmd) = container.words(&image.entrypoint, &image.cmd);
    let words: Vec<&String> = entrypoint.iter().chain(cmd).collect();
    let exposed = exposed(container, image);
    json!({
        "Id": summary.id,
        "Name": format!("/{}", summary.name),
        "Created": rfc3339(time::system(summary.created)),
        "Path": words.first().map_or("", |word| word.as_str()),
        "Args": words.get(1..).unwrap_or_default(),
        "Image": summary.digest.as_deref().unwrap_or_default(),
        "State": state(summary),
        "RestartCount": summary.status.restarts,
        "Driver": "overlay",
        "Platform": "linux",
        "LogPath": places.log,
        "RootPath": places.root,
        "Origin": if summary.configured { "node.toml" } else { "person" },
        "Mounts": host::mounts(container),
        "HostConfig": host::config(container),
        "NetworkSettings": network::settings(summary, attached, &container.network(), &exposed),
        "Config": config(summary, container, image, exposed),
        "Container": container,
        "OciConfig": places.bundle,
    })
}

fn config(summary: &Summary, container: &Container, image: &Config, exposed: Map<String, Value>) -> Value {
    let (entrypoint, cmd) = container.words(&image.entrypoint, &image.cmd);
    let mut labels = image.labels.clone();
    labels.extend(summary.labels.clone());
    let own = |own: &Option<String>, image: &str| own.clone().unwrap_or_else(|| image.to_owned());
    // As the monitor names one that says nothing (docs/monitor.md, `hostname`).
    let usual = if summary.configured { &*summary.name } else { summary.id.get(..12).unwrap_or(&summary.id) };
    let mut config = json!({
        "Hostname": own(&container.hostname, usual),
        "Domainname": container.domainname.as_deref().unwrap_or_default(),
        "User": own(&container.user, &image.user),
        "Tty": container.tty,
        "OpenStdin": container.stdin,
        "Env": container.environment(&image.env),
        "Cmd": or_null(cmd),
        "Entrypoint": or_null(entrypoint),
        "Image": summary.image,
        "WorkingDir": own(&container.working_dir, &image.working_dir),
        "Labels": labels,
        "ExposedPorts": exposed,
        "Volumes": keys(&image.volumes),
        "StopSignal": own(&container.stop_signal, &image.stop_signal),
        "StopTimeout": container.stop_grace.0.as_secs(),
    });
    let check = Healthcheck::of(image.healthcheck.as_ref(), container.health.as_ref());
    if let Some(check) = health(check.as_ref()) {
        config["Healthcheck"] = check;
    }
    config
}

/// As Docker has it: none is null.
pub fn or_null(words: &[String]) -> Value {
    if words.is_empty() { Value::Null } else { json!(words) }
}

/// A set is an object of empty objects.
pub fn keys(set: &[String]) -> Map<String, Value> {
    set.iter().map(|key| (key.clone(), json!({}))).collect()
}

/// What it exposes and what it publishes.
fn exposed(container: &Container, image: &Config) -> Map<String, Value> {
    let mut exposed = keys(&image.exposed_ports);
    for port in container.expose.iter().chain(&container.ports) {
        let keys = port.pairs().map(|(_, inside)| format!("{inside}/{}", port.protocol));
        exposed.extend(keys.map(|key| (key, json!({}))));
    }
    exposed
}

/// A check in Docker's words, if there is one.
pub fn health(check: Option<&Healthcheck>) -> Option<Value> {
    let check = check.filter(|check| !check.test.is_empty())?;
    Some(json!({
        "Test": check.test,
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
        "Retries": check.retries,
    }))
}

fn state(summary: &Summary) -> Value {
    let status = &summary.status;
    // One that is being stopped runs still.
    let word = if status.state == "stopping" { "running" } else { status.state.as_str() };
    // How it ended is told of one that has ended: the last end of one that runs again is another instance's.
    let running = matches!(word, "running" | "paused");
    let ended = |said: &str| if running { String::new() } else { said.to_owned() };
    let moment = |at: Option<u64>| at.map_or_else(|| NEVER.to_owned(), rfc3339_seconds);
    json!({
        "Status": word,
        "Running": running,
        "Paused": word == "paused",
        "Restarting": word == "restarting",
        "OOMKilled": status.out_of_memory && !running,
        "Dead": false,
        "Pid": status.pid.unwrap_or(0),
        "ExitCode": status.exit.filter(|_| !running).unwrap_or(0),
        "Error": ended(status.error.as_deref().unwrap_or_default()),
        "StartedAt": moment(status.started.or(status.ran)),
        "FinishedAt": moment(status.finished),
    })
}

/// What its health check says, and what it has said.
fn checked(health: Health, checks: Option<&Checks>) -> Value {
    let moment = |at| rfc3339(time::system(at));
    let log = checks.map_or(&[][..], |checks| &checks.log).iter().map(|one| {
        json!({
            "Start": moment(one.start),
            "End": moment(one.end),
            "ExitCode": one.exit,
            "Output": one.output,
        })
    });
    json!({
        "Status": health,
        "FailingStreak": checks.map_or(0, |checks| checks.failures),
        "Log": log.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::monitor::{Checked, Status};

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&word| word.to_owned()).collect()
    }

    fn summary(state: &str) -> Summary {
        Summary {
            id: "ab".repeat(32),
            name: "web".parse().unwrap(),
            image: "nginx".into(),
            digest: Some("sha256:00".into()),
            command: Vec::new(),
            created: 0,
            configured: false,
            status: Status {
                state: state.into(),
                ran: Some(60),
                finished: Some(120),
                exit: Some(3),
                ..Status::default()
            },
            ports: Vec::new(),
            exposed: Vec::new(),
            networks: [("bridge".to_owned(), Vec::new())].into(),
            labels: [("tier".to_owned(), "front".to_owned())].into(),
            tty: false,
            images: Vec::new(),
            volumes: Vec::new(),
        }
    }

    fn image() -> Config {
        Config {
            entrypoint: words(&["/entry"]),
            cmd: words(&["nginx", "-g"]),
            env: words(&["PATH=/bin", "A=1"]),
            working_dir: "/srv".into(),
            user: "www".into(),
            stop_signal: "SIGQUIT".into(),
            exposed_ports: words(&["80/tcp"]),
            volumes: words(&["/cache"]),
            labels: [("tier".to_owned(), "none".to_owned()), ("maker".to_owned(), "x".to_owned())].into(),
            healthcheck: Some(Healthcheck {
                test: words(&["CMD-SHELL", "wget -q x"]),
                interval: 5_000_000_000,
                ..Healthcheck::default()
            }),
        }
    }

    fn shown(container: &Container) -> Value {
        let places = Places { bundle: Value::Null, root: None, log: "/log".into() };
        object(&summary("exited"), container, &image(), None, &places)
    }

    #[test]
    fn a_container_that_does_not_run_is_told_whole() {
        let container = Container {
            env: [("A", "2"), ("B", "3")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ports: vec!["8080:81".parse().unwrap()],
            ..Container::of("nginx")
        };
        let object = shown(&container);
        assert_eq!((&object["Path"], &object["Args"]), (&json!("/entry"), &json!(["nginx", "-g"])));
        let config = &object["Config"];
        assert_eq!(config["Env"], json!(["PATH=/bin", "A=2", "B=3"]));
        assert_eq!(config["Labels"], json!({ "tier": "front", "maker": "x" }));
        assert_eq!(config["ExposedPorts"], json!({ "80/tcp": {}, "81/tcp": {} }));
        assert_eq!(config["Volumes"], json!({ "/cache": {} }));
        assert_eq!(config["Hostname"], "abababababab");
        for (key, value) in [("User", "www"), ("WorkingDir", "/srv"), ("StopSignal", "SIGQUIT")] {
            assert_eq!(config[key], value, "{key}");
        }
        assert_eq!(config["Healthcheck"]["Test"], json!(["CMD-SHELL", "wget -q x"]));
        let state = &object["State"];
        assert_eq!(state["StartedAt"], "1970-01-01T00:01:00Z");
        assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(3)));
        assert_eq!(object["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "");
    }

    #[test]
    fn what_is_its_own_stands_in_place_of_the_images() {
        let container = Container {
            entrypoint: Some(words(&["sh"])),
            user: Some("0".into()),
            hostname: Some("h".into()),
            domainname: Some("d".into()),
            annotations: [("a".to_owned(), "b".to_owned())].into(),
            uts: spec::node::Sharing::Host,
            health: Some(spec::node::HealthOptions { retries: Some(7), ..Default::default() }),
            ..Container::of("nginx")
        };
        let object = shown(&container);
        assert_eq!((&object["Path"], &object["Args"]), (&json!("sh"), &json!([])));
        let config = &object["Config"];
        assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["sh"]), &Value::Null));
        assert_eq!((&config["User"], &config["Hostname"]), (&json!("0"), &json!("h")));
        assert_eq!(config["Domainname"], "d");
        let host = &object["HostConfig"];
        assert_eq!((&host["UTSMode"], &host["Annotations"]), (&json!("host"), &json!({ "a": "b" })));
        let check = &config["Healthcheck"];
        assert_eq!((&check["Retries"], &check["Interval"]), (&json!(7), &json!(5_000_000_000_u64)));
        assert_eq!(check["Test"][0], "CMD-SHELL");
        let none = spec::node::HealthOptions { command: Some(Vec::new()), ..Default::default() };
        let object = shown(&Container { health: Some(none), ..Container::of("nginx") });
        assert_eq!(object["Config"]["Healthcheck"]["Test"], json!(["NONE"]));
    }

    #[test]
    fn health_is_told_with_the_last_checks() {
        let one = Checked { start: 1_500_000_000, end: 2_000_000_000, exit: -1, output: "no\n".into() };
        let told = checked(Health::Unhealthy, Some(&Checks { failures: 3, log: vec![one] }));
        assert_eq!((&told["Status"], &told["FailingStreak"]), (&json!("unhealthy"), &json!(3)));
        assert_eq!(told["Log"][0]["Start"], "1970-01-01T00:00:01.500000000Z");
        assert_eq!((&told["Log"][0]["ExitCode"], &told["Log"][0]["Output"]), (&json!(-1), &json!("no\n")));
        assert_eq!(checked(Health::Starting, None)["Log"], json!([]));
    }

    #[test]
    fn one_that_is_being_stopped_runs_and_one_that_never_ran_never_began() {
        let mut again = summary("stopping");
        (again.status.out_of_memory, again.status.error) = (true, Some("no".into()));
        let told = state(&again);
        assert_eq!(told["Status"], "running");
        // Its last end is an earlier instance's.
        assert_eq!(
            (&told["ExitCode"], &told["OOMKilled"], &told["Error"]),
            (&json!(0), &json!(false), &json!(""))
        );
        let mut created = summary("created");
        created.status.ran = None;
        assert_eq!(state(&created)["StartedAt"], NEVER);
    }
}

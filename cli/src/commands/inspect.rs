//! `inspect`: all that is known, in the shape that Docker's users know.

use super::containers::each_of;
use super::{Node, images, network, print_all};
use crate::arguments::Inspect;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::time;
use serde_json::{Value, json};
use spec::monitor::{Reply, Request, Summary};
use spec::timestamp::{rfc3339, rfc3339_seconds};

/// Containers first, then images, volumes and networks, unless one kind is asked for.
pub fn inspect(node: &Node<'_>, asked: &Inspect) -> Result<()> {
    let found = asked.names.iter().map(|name| one(node, name, asked.r#type.as_deref()));
    show_each(asked.format.as_ref(), found)
}

/// Shows those that there are.
///
/// # Errors
/// The last failure; those before it are told.
pub fn show_each(format: Option<&Format>, found: impl Iterator<Item = Result<Value>>) -> Result<()> {
    let mut objects = Vec::new();
    let all = each_of(found, |object| objects.push(object));
    show(format, &objects)?;
    all
}

/// Objects as they are, laid out for reading, or as the format says.
fn show(format: Option<&Format>, objects: &[Value]) -> Result<()> {
    let text = match format {
        None | Some(Format::Table) => serde_json::to_string_pretty(objects).unwrap_or_default() + "\n",
        Some(Format::Json) => serde_json::to_string(objects).unwrap_or_default() + "\n",
        Some(format) => format::show(format, &[], objects).map_err(Error::new)?,
    };
    print_all(&text);
    Ok(())
}

fn one(node: &Node<'_>, name: &str, kind: Option<&str>) -> Result<Value> {
    match kind {
        Some("container") => container(node, name),
        Some("image") => image(node, name),
        Some("network") => network::shown(node, name),
        Some("volume") => super::volumes::known(node, name),
        _ => container(node, name)
            .or_else(|first| image(node, name).map_err(|second| both(name, first, second)))
            .or_else(|told| super::volumes::known(node, name).map_err(|_| told))
            .or_else(|told| network::shown(node, name).map_err(|_| told)),
    }
}

/// A name that is neither is told as such; anything else in its own words.
fn both(name: &str, first: Error, second: Error) -> Error {
    if second.message.contains("is not here") && first.message.contains("there is none") {
        return Error::new(format!("{name:?}: there is no such container or image"));
    }
    second
}

fn container(node: &Node<'_>, name: &str) -> Result<Value> {
    let mut client = Client::ask(node.socket, &Request::Inspect { name: name.to_owned() })?;
    let Reply::Container { summary, container, config, config_follows, root, log, attached, .. } =
        client.reply()?
    else {
        return Err(Error::new("the monitor gave another answer than was asked for"));
    };
    let config = if config_follows { Some(client.rest()?) } else { config };
    let definition = serde_json::to_value(&container).unwrap_or_default();
    let bundle: Value = config.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(json!({
        "Id": summary.id,
        "Name": format!("/{}", summary.name),
        "Created": rfc3339(time::system(summary.created)),
        "Image": summary.digest,
        "State": state(&summary),
        "RestartCount": summary.status.restarts,
        "LogPath": log,
        "RootPath": root,
        "Origin": if summary.configured { "node.toml" } else { "person" },
        "Config": {
            "Image": summary.image,
            "Cmd": bundle["process"]["args"].as_array().map_or_else(|| json!(summary.command), |args| json!(args)),
            "Env": bundle["process"]["env"],
            "WorkingDir": bundle["process"]["cwd"],
            "Hostname": bundle["hostname"],
            "Tty": summary.tty,
            "Labels": summary.labels,
        },
        "NetworkSettings": network::settings(&summary, attached.as_deref()),
        "Container": definition,
        "OciConfig": bundle,
    }))
}

fn state(summary: &Summary) -> Value {
    let status = &summary.status;
    let mut state = json!({
        "Status": status.state,
        "Running": matches!(status.state.as_str(), "running" | "paused" | "stopping"),
        "Paused": status.state == "paused",
        "Restarting": status.state == "restarting",
        "OOMKilled": status.out_of_memory,
        "Pid": status.pid.unwrap_or(0),
        "ExitCode": status.exit.unwrap_or(0),
        "Error": status.error.clone().unwrap_or_default(),
        "StartedAt": status.started.map(rfc3339_seconds),
        "FinishedAt": status.finished.map(rfc3339_seconds),
    });
    if let Some(health) = status.health {
        state["Health"] = json!({ "Status": health });
    }
    state
}

fn image(node: &Node<'_>, name: &str) -> Result<Value> {
    let image = images::find(node, name)?;
    let config = &image.config;
    let layers: Vec<String> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let name = image.name.to_string();
    Ok(json!({
        "Id": image.digest.to_string(),
        "RepoTags": [images::familiar(&name)],
        "Config": {
            "Entrypoint": config.entrypoint,
            "Cmd": config.cmd,
            "Env": config.env,
            "WorkingDir": config.working_dir,
            "User": config.user,
            "StopSignal": config.stop_signal,
            "ExposedPorts": config.exposed_ports,
            "Volumes": config.volumes,
            "Labels": config.labels,
        },
        "RootFS": { "Type": "layers", "Layers": layers },
    }))
}

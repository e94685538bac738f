//! Pulls an image: `pull STORE NAME [KEY=VALUE…]`, with `ca=FILE`, `user=NAME:PASSWORD`,
//! `token-server=HOST` for its certificate, `keep=no`.
//!
//! It prints a line for each change of a layer's state, and at the end the image's digest and
//! the peak of this program's memory. The tests kill it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;
use store::registry::{Credentials, Host, Pem, Settings};
use store::{Registries, State, Store, Update};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, name, options @ ..] = &arguments[..] else {
        eprintln!("usage: pull STORE NAME [KEY=VALUE...]");
        return ExitCode::from(2);
    };
    match pull(Path::new(store), name, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pull(root: &Path, name: &str, options: &[String]) -> store::Result<()> {
    let options: BTreeMap<&str, &str> = options.iter().filter_map(|option| option.split_once('=')).collect();
    let mut store = Store::open(root)?;
    if options.get("keep") == Some(&"no") {
        store = store.without_packed_layers();
    }
    let last = Mutex::new(BTreeMap::new());
    let say = |update: &Update<'_>| {
        let state = match update.state {
            State::Retrying(why) => format!("retrying: {why}"),
            state => format!("{state:?}").to_lowercase(),
        };
        let mut last = last.lock().unwrap();
        if last.insert(update.layer, state.clone()) != Some(state.clone()) {
            println!("layer {} {state}", update.layer);
        }
    };
    let pulled = store.pull(&Registries::new(settings(name, &options)), name, &say)?;
    pulled.notes.iter().for_each(|note| println!("note {note}"));
    println!("{} {}", if pulled.up_to_date { "same" } else { "pulled" }, pulled.digest);
    println!("peak {} KiB", peak());
    Ok(())
}

fn settings(name: &str, options: &BTreeMap<&str, &str>) -> Settings {
    let host = name.split('/').next().unwrap_or_default().to_owned();
    let mut settings = Settings { pause: Duration::from_millis(20), ..Settings::default() };
    let own = Host { ca: options.get("ca").map(|path| Pem::File((*path).to_owned())), ..Host::default() };
    for host in [host.as_str()].into_iter().chain(options.get("token-server").copied()) {
        settings.hosts.insert(host.to_owned(), own.clone());
    }
    if let Some((user, password)) = options.get("user").and_then(|user| user.split_once(':')) {
        let (user, password) = (user.to_owned(), password.to_owned());
        settings.credentials.insert(host, Credentials::Password { user, password });
    }
    settings
}

/// The most memory that this program had at a time (proc(5), `VmHWM`).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

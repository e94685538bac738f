//! `pull`, `push`, `login` and `logout`.

use super::containers::each_of;
use super::{Node, images, print};
use crate::arguments::{Login, Logout, Pull, Push};
use crate::error::{Context, Error, Result};
use crate::progress::Shown;
use crate::terminal;
use spec::monitor::Object;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use store::registry::{Credentials, Settings, forget, host_of, remember};
use store::{Platform, Pulled, Registries, Store};

/// Docker's own registry.
const HUB: &str = "docker.io";

/// `skerry pull`
pub fn pull(node: &Node<'_>, asked: &Pull) -> Result<()> {
    let mut settings = settings()?.with_passwords_of_user();
    settings.attempts = asked.retry.saturating_add(1);
    settings.confirms = asked.confirm;
    let registries = Registries::new(settings);
    let fetch = |name: &String| fetch(node, &registries, name, asked.platform.as_deref(), asked.quiet);
    each_of(asked.images.iter().map(fetch), |pulled| match asked.quiet {
        true => print(&pulled.digest.to_string()),
        false => {
            let word = if pulled.up_to_date { "Image is up to date" } else { "Downloaded newer image" };
            print(&format!("Digest: {}", pulled.digest));
            print(&format!("Status: {word} for {}", images::familiar(&pulled.name.to_string())));
        }
    })
}

/// Pulls one image; the terminal shows how far it is.
pub fn fetch(
    node: &Node<'_>,
    registries: &Registries,
    name: &str,
    platform: Option<&str>,
    quiet: bool,
) -> Result<Pulled> {
    let store = Store::open(node.store)?;
    let store = match platform {
        Some(platform) => store.for_platform(self::platform(platform)?),
        None => store,
    };
    let pulled = store.pull(registries, name, &*Shown::unless(quiet, "Pulling"));
    let pulled = pulled
        .map_err(|error| Error::new(images::near(refusal(&error, name), name, &images::names(node))))?;
    pulled.notes.iter().for_each(|note| eprintln!("skerry: {note}"));
    tell(node, "pull", &pulled.name.to_string());
    Ok(pulled)
}

/// Why an image was not pulled. A registry that tells strangers nothing refuses what it has not as it refuses what it hides.
fn refusal(error: &store::Error, name: &str) -> String {
    match error {
        store::Error::NotFound { registry, .. } => format!("image {name:?} not found in {registry}"),
        store::Error::Denied { registry, why, .. } => {
            format!(
                "image {name:?} not found in {registry}, or it takes a login (skerry login {registry}): {why}"
            )
        }
        other => other.to_string(),
    }
}

/// `skerry push`
pub fn push(node: &Node<'_>, asked: &Push) -> Result<()> {
    let store = Store::open(node.store)?;
    images::find(node, &asked.image)?;
    let (registries, name) = (registries()?, &asked.image);
    let pushed =
        node.stores_with(&store).push(&registries, name, name, &*Shown::unless(asked.quiet, "Pushing"))?;
    print(&format!("{}: digest: {}", images::familiar(&pushed.name.to_string()), pushed.digest));
    tell(node, "push", &pushed.name.to_string());
    Ok(())
}

/// What comes and goes by its name has its repository's, as Docker tells it.
fn tell(node: &Node<'_>, action: &str, name: &str) {
    let name = images::familiar(name);
    node.tell(Object::Image, name, action, &[("name", images::repository(name))]);
}

/// `skerry login`
pub fn login(asked: &Login) -> Result<()> {
    let host = host_of(asked.registry.as_deref().unwrap_or(HUB));
    let user = match &asked.username {
        Some(user) => user.clone(),
        None => question("Username: ", true)?,
    };
    let password = match &asked.password {
        Some(password) => password.clone(),
        None if asked.password_stdin => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context(|| "read standard input".into())?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => question("Password: ", false)?,
    };
    let mut settings = settings()?;
    settings
        .credentials
        .insert(host.to_owned(), Credentials::Password { user: user.clone(), password: password.clone() });
    Registries::new(settings).log_in(host)?;
    let place = remember(&password_file()?, host, &user, &password)?;
    print(&format!("Login succeeded; the password is in {place}"));
    Ok(())
}

/// `skerry logout`
pub fn logout(asked: &Logout) -> Result<()> {
    let host = host_of(asked.registry.as_deref().unwrap_or(HUB));
    match forget(&password_file()?, host)? {
        true => print(&format!("Login of {host} forgotten")),
        false => print(&format!("Not logged in to {host}")),
    }
    Ok(())
}

/// The registries, as this machine reaches them.
///
/// # Errors
/// The machine's configuration is refused.
pub fn registries() -> Result<Registries> {
    Ok(Registries::new(settings()?.with_passwords_of_user()))
}

fn settings() -> Result<Settings> {
    Settings::of_this_machine().map_err(Error::new)
}

fn password_file() -> Result<PathBuf> {
    let settings = Settings::default().with_passwords_of_user();
    settings.docker_config.ok_or_else(|| Error::new("HOME: is not set, so there is no place for a password"))
}

fn question(words: &str, shown: bool) -> Result<String> {
    if !terminal::is_there() {
        return Err(Error::new("login: no terminal to ask at: --username and --password-stdin say it"));
    }
    eprint!("{words}");
    let _ = io::stderr().flush();
    let hidden = (!shown).then(terminal::Hidden::new).transpose()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context(|| "read standard input".into())?;
    if hidden.is_some() {
        eprintln!();
    }
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::new("login: nothing was typed")),
        text => Ok(text.to_owned()),
    }
}

/// `OS/ARCHITECTURE[/VARIANT]`
///
/// # Errors
/// It is none.
pub fn platform(text: &str) -> Result<Platform> {
    let mut parts = text.split('/').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None) => Ok(Platform { os, architecture, variant }),
        _ => Err(Error::new(format!("--platform {text:?}: not OS/ARCHITECTURE[/VARIANT]"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_two_parts_or_three() {
        let read = platform("linux/arm64/v8").unwrap();
        assert_eq!((read.architecture.as_str(), read.variant.as_deref()), ("arm64", Some("v8")));
        assert!(platform("linux/amd64").unwrap().variant.is_none());
        assert!(platform("amd64").unwrap_err().message.starts_with("--platform \"amd64\": not"));
    }
}

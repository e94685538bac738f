//! `run`, `create`, `start` and `attach`.

use super::cid_file::CidFile;
use super::{Node, advised, images, print, unexpected, volumes};
use crate::arguments::{self, Attach, Nameless, Options, Run, Stream};
use crate::client::Client;
use crate::detach::Detach;
use crate::error::{Context, Error, Result};
use crate::session::{self, Ended, Following, Forward};
use crate::terminal;
use spec::monitor::{Create, Reply, Request};
use spec::node::Mount;
use std::fs;
use std::path::Path;

/// Exit status when Skerry itself could not.
const OURS: u8 = 125;

/// `skerry create`
pub fn create(node: &Node<'_>, options: &Options) -> Result<()> {
    make(node, options, false).map(|id| print(&id)).map_err(ours)
}

/// `skerry run`
pub fn run(node: &Node<'_>, run: &Run) -> Result<u8> {
    let keys = keys(&run.detach_keys).map_err(ours)?;
    let options = &run.options;
    if !run.detach && options.interactive && options.tty && !terminal::is_there() {
        return Err(ours(Error::new("-t: standard input is not a terminal")));
    }
    let id = make(node, options, run.detach).map_err(ours)?;
    let ended = begin(node, run, &id, keys);
    ended.inspect_err(|error| if_unstarted(node, options, &id, error)).map_err(ours)
}

/// Starts what has just been made, and follows it unless it is to be in the background.
fn begin(node: &Node<'_>, run: &Run, id: &str, keys: Detach) -> Result<u8> {
    if run.detach {
        node.done(&Request::Start { name: id.to_owned() }).map_err(refused)?;
        print(id);
        return Ok(0);
    }
    let options = &run.options;
    let following = Followed {
        input: run.joins(Stream::Stdin),
        shown: [Stream::Stdout, Stream::Stderr].map(|stream| run.joins(stream)),
        keys,
        keep_signals: run.keep_signals || !run.sig_proxy,
        start: true,
    };
    let ended = follow(node, id, following)?;
    if options.rm && matches!(ended, Ended::Exited(_)) {
        // Its name is free when this returns. One that is gone already is not found.
        let condition = spec::monitor::Wait::Removed;
        let _ = node.answer(&Request::Wait { name: id.to_owned(), condition });
    }
    Ok(ended.status())
}

/// `skerry start`
pub fn start(node: &Node<'_>, start: &arguments::Start) -> Result<u8> {
    if !start.attach && !start.interactive {
        return start_each(node, &start.containers);
    }
    let [name] = &start.containers[..] else {
        return Err(Error::new("--attach: one container at a time"));
    };
    let keys = keys(&start.detach_keys)?;
    let followed =
        Followed { input: start.interactive, shown: [true; 2], keys, keep_signals: false, start: true };
    follow(node, name, followed).map(|ended| ended.status())
}

fn start_each(node: &Node<'_>, names: &[String]) -> Result<u8> {
    // Why it does not run has a status of its own where a program was asked for, with `run` and `exec`.
    let start = |name| node.done(&Request::Start { name }).map_err(|error| error.with_status(1));
    super::containers::each(names, start).map(|()| 0)
}

/// `skerry attach`
pub fn attach(node: &Node<'_>, attach: &Attach) -> Result<u8> {
    let keys = keys(&attach.detach_keys)?;
    let followed = Followed {
        input: !attach.no_stdin,
        shown: [true; 2],
        keys,
        keep_signals: attach.keep_signals || !attach.sig_proxy,
        start: false,
    };
    let ended = follow(node, &attach.container, followed);
    ended.map(|ended| ended.status()).map_err(|error| advised(error, &attach.container))
}

struct Followed {
    input: bool,
    shown: [bool; 2],
    keys: Detach,
    keep_signals: bool,
    start: bool,
}

fn follow(node: &Node<'_>, name: &str, followed: Followed) -> Result<Ended> {
    let Followed { input, shown, keys, keep_signals, start } = followed;
    let request = Request::Attach { name: name.to_owned(), input, size: terminal::size(), start };
    // Whatever ends us before anything was asked leaves nothing running.
    let mut client = Client::connect(node.socket)?;
    let mut signals = session::watch(!keep_signals)?;
    client.send(&request)?;
    let (session, tty) = match signals.answer(&mut client).map_err(refused)? {
        Reply::Streams { session, tty } => (session, tty),
        other => return Err(unexpected(&other)),
    };
    let raw = tty && input && terminal::is_there();
    let forward = match raw || keep_signals {
        true => Forward::Nobody,
        false => Forward::Container(node.socket.to_owned(), name.to_owned()),
    };
    let session = session.map(|session| (node.socket.to_owned(), session));
    session::follow(client, signals, Following { session, input, shown, raw, detach: keys, forward })
}

/// Defines a container, whose image is here then; gives its ID. The input of one that is not begun `detached` ends with
/// ours.
fn make(node: &Node<'_>, options: &Options, detached: bool) -> Result<String> {
    let mut container = options.container(|name| std::env::var(name).ok())?;
    let (name, seccomp) = (options.name()?, options.seccomp()?.map(Box::new));
    let file = options.cidfile.as_deref().map(CidFile::new).transpose()?;
    let mut nameless = Vec::new();
    let mut add = |mounts: &mut Vec<Mount>, place: Nameless| -> Result<()> {
        nameless.push(volumes::made_up()?);
        mounts.extend(nameless.last().map(|name| place.of(name.clone())));
        Ok(())
    };
    for place in options.nameless()? {
        add(&mut container.mounts, place)?;
    }
    for text in &options.volumes_from {
        lend(node, text, &mut container.mounts)?;
    }
    let (image, _held) = images::ensure(node, options)?;
    for target in image.config.volumes.iter().filter(|target| is_below_root(target)) {
        if is_free(&container.mounts, target) {
            add(&mut container.mounts, Nameless::at(target))?;
        }
    }
    options.sources()?.iter().try_for_each(|source| make_folder(Path::new(source)))?;
    let (image, stdin_once) = (image.digest.to_string(), options.interactive && !detached);
    let (remove, new) = (options.rm, nameless.clone());
    let create = Create { name, container, image, remove, stdin_once, nameless, seccomp, sandbox: None };
    match node.answer(&Request::Create(Box::new(create)))? {
        Reply::Created { id, warnings, .. } => {
            warnings.iter().for_each(|warning| eprintln!("skerry: {warning}"));
            // Not before there is a container that has them: others may be pruning.
            volumes::make_nameless(node, &new).inspect_err(|_| _ = remove_unstarted(node, &id, true))?;
            file.map_or(Ok(()), |file| file.write(&id))?;
            Ok(id)
        }
        other => Err(unexpected(&other)),
    }
}

/// As with Docker, a source of `--volume` that there is none of is a folder.
fn make_folder(source: &Path) -> Result<()> {
    match source.try_exists() {
        Ok(false) => fs::create_dir_all(source).context(|| format!("make {}", source.display())),
        _ => Ok(()),
    }
}

/// What `--volumes-from` says: volumes and folders of the machine that another container has, but for those in whose
/// place are others.
fn lend(node: &Node<'_>, text: &str, mounts: &mut Vec<Mount>) -> Result<()> {
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    if !["ro", "rw"].contains(&mode) {
        return Err(Error::new(format!("--volumes-from {text:?}: {mode:?} is neither ro nor rw")));
    }
    match node.answer(&Request::Inspect { name: name.to_owned() })? {
        Reply::Container { container, .. } => {
            mounts.extend(lent(container.mounts, mounts, mode == "ro"));
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

fn lent(others: Vec<Mount>, own: &[Mount], only_read: bool) -> Vec<Mount> {
    let free = others.into_iter().filter(|mount| is_free(own, mount.target()));
    let lent = free.filter_map(|mut mount| match &mut mount {
        Mount::Bind { read_only, .. } | Mount::Volume { read_only, .. } => {
            *read_only |= only_read;
            Some(mount)
        }
        Mount::Tmpfs { .. } => None,
    });
    lent.collect()
}

/// A volume that an image asks for elsewhere is in nobody's way.
fn is_below_root(target: &str) -> bool {
    target.starts_with('/') && Path::new(target) != Path::new("/")
}

/// Nothing is mounted at this place.
fn is_free(mounts: &[Mount], target: &str) -> bool {
    mounts.iter().all(|mount| Path::new(mount.target()) != Path::new(target))
}

/// What the monitor says in place of a start.
fn refused(error: Error) -> Error {
    Error { unstarted: error.code.is_some(), ..error }
}

/// One that could not be started stays, as with Docker, unless it is to be removed; of one of which that is not sure
/// the monitor knows whether it runs. Whatever else went wrong was this program's: the container goes on, and its
/// end is the monitor's to see to.
fn if_unstarted(node: &Node<'_>, options: &Options, id: &str, error: &Error) {
    if options.rm && (error.unstarted || error.code.is_some()) {
        let _ = remove_unstarted(node, id, error.unstarted);
    }
}

fn remove_unstarted(node: &Node<'_>, id: &str, force: bool) -> Result<()> {
    node.done(&Request::Remove { name: id.to_owned(), force, volumes: true })
}

/// Docker's exit status for what is not the program's.
fn ours(error: Error) -> Error {
    let status = if error.status == 1 { OURS } else { error.status };
    error.with_status(status)
}

fn keys(text: &str) -> Result<Detach> {
    Detach::new(text).map_err(|why| Error::new(format!("--detach-keys: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, heard};
    use clap::Parser;
    use std::path::Path;

    /// What `run` asks of a monitor that answers so, once the container is made.
    fn asked(words: &str, clients: &[&[&str]]) -> (Error, Vec<Request>) {
        let words = ["skerry", "run"].into_iter().chain(words.split(' '));
        let arguments = arguments::Arguments::try_parse_from(words).unwrap();
        let arguments::Command::Run(run) = arguments.command else { panic!() };
        let (error, requests) = heard(clients, |socket| {
            let node = Node { socket, store: Path::new("/nowhere") };
            let error = begin(&node, &run, "ab12", keys("").unwrap()).unwrap_err();
            if_unstarted(&node, &run.options, "ab12", &error);
            error
        });
        (error, requests)
    }

    #[test]
    fn a_container_goes_on_when_its_client_cannot() {
        let streams = r#"{"reply":"streams","session":null,"tty":false}"#;
        for (words, clients) in
            [("--rm x", &[HELLO, streams][..]), ("--rm x", &[HELLO]), ("--rm -d x", &[HELLO])]
        {
            let (error, requests) = asked(words, &[clients, &[HELLO, r#"{"reply":"done"}"#]]);
            assert!(error.message.starts_with("the monitor went away"), "{error}");
            assert_eq!(requests.len(), 1, "{words}: {requests:?}");
        }
    }

    #[test]
    fn what_another_has_is_lent_but_for_memory_and_what_is_in_its_place() {
        let bind = |source: &str, target: &str, read_only| Mount::Bind {
            source: source.into(),
            target: target.into(),
            read_only,
            propagation: Default::default(),
        };
        let volume = |read_only| Mount::Volume {
            name: "data".parse().unwrap(),
            target: "/data".into(),
            read_only,
            no_copy: false,
        };
        let memory = r#"{ "type": "tmpfs", "target": "/run" }"#;
        let others =
            || vec![bind("/srv", "/srv", false), volume(false), serde_json::from_str(memory).unwrap()];
        assert_eq!(lent(others(), &[], false), [bind("/srv", "/srv", false), volume(false)]);
        for place in ["/srv", "/srv/", "//srv/."] {
            assert_eq!(lent(others(), &[bind("/other", place, false)], true), [volume(true)], "{place}");
        }
    }

    #[test]
    fn a_source_that_there_is_none_of_is_made() {
        let folder = std::env::temp_dir().join(format!("skerry-source-{}", std::process::id()));
        let (new, file) = (folder.join("a/b"), folder.join("file"));
        make_folder(&new).unwrap();
        fs::write(&file, "x").unwrap();
        make_folder(&file).unwrap();
        assert!(new.is_dir() && file.is_file());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_could_not_be_started_is_removed_when_it_is_to_be() {
        let failed = r#"{"reply":"failed","code":"no-program","message":"container \"x\": no such program"}"#;
        let streams = r#"{"reply":"streams","session":null,"tty":false}"#;
        let ended = r#"{"reply":"exited","status":127,"out_of_memory":false,"error":"no such program"}"#;
        let remove = Request::Remove { name: "ab12".into(), force: true, volumes: true };
        for (words, clients) in [
            ("--rm x", &[HELLO, failed][..]),
            ("--rm -d x", &[HELLO, failed]),
            ("--rm x", &[HELLO, streams, ended]),
        ] {
            let (error, requests) = asked(words, &[clients, &[HELLO, r#"{"reply":"done"}"#]]);
            assert_eq!((error.status, requests.get(1)), (127, Some(&remove)), "{words}: {requests:?}");
        }
        let (_, requests) = asked("x", &[&[HELLO, failed]]);
        assert_eq!(requests.len(), 1, "{requests:?}");
    }
}

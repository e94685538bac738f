//! What each verb does.

mod cid_file;
mod completion;
mod console;
mod containers;
mod copy;
mod df;
mod diff;
mod events;
mod exec;
mod export;
mod history;
mod images;
mod info;
mod inspect;
mod list;
mod logs;
mod manual;
mod network;
mod registry;
mod run;
mod stats;
mod store;
mod update;
mod volumes;

use crate::arguments::{Arguments, Command, StoreVerb, StoreVerbs};
use crate::client::Client;
use crate::error::{Error, Result, written};
use ::store::{Store, Stores};
use spec::monitor::{Code, Happening, Object, Reply, Request};
use std::path::Path;

/// Does what the command line asks for; gives the exit status.
///
/// # Errors
/// Why not.
pub fn perform(arguments: Arguments) -> Result<u8> {
    let node = Node { socket: &arguments.socket, store: &arguments.store };
    verb(&node, arguments.command)
}

fn verb(node: &Node<'_>, command: Command) -> Result<u8> {
    match command {
        Command::Run(run) => return run::run(node, &run),
        Command::Create(options) => run::create(node, &options)?,
        Command::Start(start) => return run::start(node, &start),
        Command::Attach(attach) => return run::attach(node, &attach),
        Command::Exec(exec) => return exec::exec(node, &exec),
        Command::Wait(wait) => containers::wait(node, &wait)?,
        Command::Stop(stop) => containers::stop(node, &stop)?,
        Command::Restart(stop) => containers::restart(node, &stop)?,
        Command::Kill(kill) => containers::kill(node, &kill)?,
        Command::Pause(names) => containers::pause(node, &names)?,
        Command::Unpause(names) => containers::unpause(node, &names)?,
        Command::Rename(rename) => containers::rename(node, &rename)?,
        Command::Rm(remove) => containers::remove(node, &remove)?,
        Command::Ps(list) => list::list(node, &list)?,
        Command::Logs(logs) => logs::logs(node, &logs)?,
        Command::Cp(cp) => copy::copy(node, &cp)?,
        Command::Diff(asked) => diff::diff(node, &asked)?,
        Command::Transfer(transfer) => copy::transfer(node, &transfer)?,
        Command::Inspect(inspect) => inspect::inspect(node, &inspect)?,
        Command::Stats(stats) => stats::stats(node, &stats)?,
        Command::Top(top) => stats::top(node, &top)?,
        Command::Events(events) => events::events(node, &events)?,
        Command::Network(asked) => network::network(node, &asked)?,
        Command::Port(port) => list::port(node, &port)?,
        Command::Update(update) => update::update(node, &update)?,
        Command::Volume(verbs) => volumes::volume(node, &verbs.verb)?,
        Command::Images(images) => images::list(node, &images)?,
        Command::Rmi(remove) => images::remove(node, &remove)?,
        Command::Import(import) => images::import(node, &import)?,
        Command::Save(save) => export::save(node, &save)?,
        Command::Export(asked) => export::export(node, &asked)?,
        Command::History(asked) => history::history(node, &asked)?,
        Command::Tag(tag) => images::tag(node, &tag)?,
        Command::Pull(pull) => registry::pull(node, &pull)?,
        Command::Push(push) => registry::push(node, &push)?,
        Command::Login(login) => registry::login(&login)?,
        Command::Logout(logout) => registry::logout(&logout)?,
        Command::Prune(prune) => images::prune(node, &prune)?,
        Command::Image(group) => return verb(node, group.verb.into()),
        Command::Container(group) => return verb(node, group.verb.into()),
        Command::System(group) => return verb(node, group.verb.into()),
        Command::Store(StoreVerbs { verb: StoreVerb::Check(check) }) => return store::check(node, &check),
        Command::Df(asked) => df::df(node, &asked)?,
        Command::Info(info) => info::info(node, &info)?,
        Command::Version(version) => info::version(node, &version)?,
        Command::Console(console) => console::console(node, &console)?,
        Command::Completion(completion) => completion::completion(&completion),
        Command::Manual(manual) => manual::manual(&manual)?,
    }
    Ok(0)
}

/// Where this machine's containers and images are.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// The monitor's socket.
    pub socket: &'a Path,
    /// The store that is written.
    pub store: &'a Path,
}

impl Node<'_> {
    /// Asks the monitor and takes its one answer.
    pub fn answer(&self, request: &Request) -> Result<Reply> {
        Client::answer(self.socket, request)
    }

    /// Asks for something that is simply done.
    pub fn done(&self, request: &Request) -> Result<()> {
        match self.answer(request)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells those who follow events what was done to an image, a volume or a network, which the monitor does not see.
    pub fn tell(&self, object: Object, id: &str, action: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let (id, action) = (id.to_owned(), action.to_owned());
        Client::tell(self.socket, Happening { object, id, action, attributes });
    }

    /// Its stores, to be read: the one that is written, and the one that came with the node.
    pub fn stores(&self) -> Stores {
        self.stores_with(&Store::open_read_only(self.store))
    }

    /// The same, with the first to be written.
    pub fn stores_with(&self, first: &Store) -> Stores {
        let came = Store::open_read_only(Path::new(spec::paths::IMAGE_STORE));
        Stores::new(vec![first.clone(), came])
    }
}

/// Says of a container that does not run, and is to, how it does.
pub fn advised(error: Error, name: &str) -> Error {
    match error.code == Some(Code::State) && error.message.ends_with("it does not run") {
        true => Error { message: format!("{}; skerry start {name}", error.message), ..error },
        false => error,
    }
}

/// The monitor said something that is no answer to this.
pub fn unexpected(reply: &Reply) -> Error {
    Error::new(format!("the monitor gave another answer than was asked for: {reply:?}"))
}

/// Prints a line; a reader that has gone is no error.
pub fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints what has no end by itself: it ends when the reader has gone.
///
/// # Errors
/// They have; as [`written`].
pub fn print_on(text: &str) -> Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()), "standard output")
}

/// Prints text that ends its own lines.
pub fn print_all(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

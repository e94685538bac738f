//! A new instance: its root, its pipes, its bundle.

use super::run::MOST_OPEN;
use super::{Monitor, Work, listen};
use crate::bundle::{self, EtcFiles, Surroundings};
use crate::etc::Connection;
use crate::image::{self, Image};
use crate::keeper::log_name;
use crate::life::{End, Event, Last, Stop, Time};
use crate::network::{self, Way};
use crate::verb::{self, Streams, Verb};
use crate::{device, etc, kernel, place, puller, volume};
use nix::fcntl::{FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use spec::bundle::{ConsoleSize, Namespace, NamespaceKind, User};
use spec::mountinfo::mount_of;
use spec::node::{Container, Ipc, Mount, Name, Propagation, Pull, Sharing};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::path::Path;
use std::time::Duration;
use sys::cause::cause;

/// Most of a passwd or group file that is read.
const MOST: u64 = 4 << 20;

/// How long verbs may take for a container that is to be down.
const VERBS: Duration = Duration::from_secs(10);

impl Monitor {
    /// Begins a new instance: its network first, if it has one of its own. What came of it is told.
    pub(super) fn create(&mut self, index: usize) {
        let (container, image) = match self.materials(index) {
            Ok(materials) => materials,
            Err(_) if self.may_pull(index) => return self.pull(index),
            Err(reason) => return self.tell(index, &Event::Created(Err(End::Missing(reason)))),
        };
        let begun = stop(&container, &image).and_then(|stop| {
            self.tell(index, &Event::Creating(stop));
            self.find_way(index, &container, &image)
        });
        match begun {
            Ok(Way::Own(asked)) => self.attach_network(index, &asked),
            Ok(way) => self.make(index, &container, &image, &way),
            Err(reason) => self.tell(index, &Event::Created(Err(End::NotStarted(reason)))),
        }
        self.remove_old();
    }

    /// Makes the rest of an instance that was begun, as far as it goes.
    pub(super) fn make(&mut self, index: usize, container: &Container, image: &Image, way: &Way) {
        let begun = self.mount(index, container, image).and_then(|()| self.fill(index, container));
        match begun {
            Ok(true) => {}
            Ok(false) => self.complete(index, container, image, way),
            Err(reason) => self.tell(index, &Event::Created(Err(End::NotStarted(reason)))),
        }
    }

    /// Begins to make the volumes that are not there; says whether there are any.
    fn fill(&mut self, index: usize, container: &Container) -> Result<bool, String> {
        self.tell_new_volumes(&container.mounts);
        let cell = &self.cells[index];
        let Some(pid) = volume::begin(&cell.key, &container.mounts, cell.volumes_until())? else {
            return Ok(false);
        };
        self.work.insert(pid, Work::Fill(index));
        self.tell(index, &Event::Busy);
        Ok(true)
    }

    /// The volumes were made, or not.
    pub(super) fn filled(&mut self, index: usize, status: i32) {
        let made = match status {
            0 => self.materials(index),
            _ => Err(volume::reason(&self.cells[index].key, status)),
        };
        let way = made.and_then(|(container, image)| {
            self.find_way(index, &container, &image).map(|way| (container, image, way))
        });
        match way {
            Ok((container, image, way)) => self.complete(index, &container, &image, &way),
            Err(reason) => self.tell(index, &Event::Created(Err(End::NotStarted(reason)))),
        }
    }

    /// Nobody waits for the making of a container that is to be down by now: for its volumes not at all, for verbs only as
    /// long as those take that do not hang. Gives the time until when one may go on.
    pub(super) fn give_up_making(&self, index: usize) -> Option<Time> {
        if self.desired(index).up {
            return None;
        }
        let patience = |work: &Work| match *work {
            Work::Fill(of) if of == index => Some(Time::ZERO),
            Work::Container(of, Verb::Create | Verb::Start) if of == index => Some(VERBS),
            Work::Network(of, network::Verb::Attach | network::Verb::Mend) if of == index => Some(VERBS),
            _ => None,
        };
        let (pid, patience) = self.work.iter().find_map(|(pid, work)| Some((*pid, patience(work)?)))?;
        let due = self.cells[index].busy_since + patience;
        if due > kernel::now() {
            return Some(due);
        }
        // It is our child and not reaped, so the number is its own.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        None
    }

    /// Makes the rest of an instance whose root and volumes are there.
    fn complete(&mut self, index: usize, container: &Container, image: &Image, way: &Way) {
        let key = self.cells[index].key.clone();
        let made = self
            .connection(index, way)
            .and_then(|connection| self.prepare(index, &key, container, image, connection));
        match made {
            Ok(streams) => {
                self.arrange_check(index, container, image);
                self.begin(index, Verb::Create, streams.as_ref());
            }
            Err(reason) => self.tell(index, &Event::Created(Err(End::NotStarted(reason)))),
        }
    }

    /// What a container is made of.
    ///
    /// # Errors
    /// Its image is missing, in words.
    pub(super) fn materials(&self, index: usize) -> Result<(Container, Image), String> {
        let cell = &self.cells[index];
        let container = cell.container.clone().ok_or("it is only left over")?;
        let image = match &cell.definition {
            Some(own) => self.images.find_digest(&container.image, &own.digest),
            None => self.images.find(&container.image),
        }?;
        Ok((container, image))
    }

    /// The configuration says so.
    fn may_pull(&self, index: usize) -> bool {
        let cell = &self.cells[index];
        cell.is_configured()
            && cell.container.as_ref().is_some_and(|container| container.pull == Pull::Missing)
    }

    /// Has an image fetched that is not on the node; the container waits for it.
    fn pull(&mut self, index: usize) {
        let cell = &self.cells[index];
        let Some(image) = cell.container.as_ref().map(|container| container.image.clone()) else { return };
        match puller::begin(&cell.key, &image) {
            Ok(pid) => {
                if !matches!(cell.observed.last, Some(Last { end: End::Missing(_), .. })) {
                    self.console.say(&format!("{}: pulling image {image:?}", cell.name));
                }
                self.work.insert(pid, Work::Pull(index));
                self.tell(index, &Event::Busy);
            }
            Err(reason) => self.tell(index, &Event::Pulled(Err(reason))),
        }
    }

    pub(super) fn pull_ended(&mut self, index: usize, status: i32) {
        let Some(container) = &self.cells[index].container else { return };
        let pulled = match status {
            // What it has fetched must also be found.
            0 => self.images.find(&container.image).map(drop),
            _ => Err(puller::reason(&self.cells[index].key, status)),
        };
        self.tell(index, &Event::Pulled(pulled));
    }

    /// Mounts a new instance's root.
    fn mount(&mut self, index: usize, container: &Container, image: &Image) -> Result<(), String> {
        let cell = &self.cells[index];
        let (key, kept) = (&cell.key, cell.definition.is_some());
        let users = cell.users();
        let folder = place::folder(key);
        // Before there is anything in it to look for.
        sys::file::make_private(&folder, users)
            .map_err(|error| format!("make {}: {}", folder.display(), cause(&error)))?;
        if self.images.mount(key, image, kept, users)? {
            self.console.say(&format!("{key}: the data disk takes nothing: what it writes lies in memory"));
        }
        if container.ipc == Ipc::Shareable { image::mount_shm(key, container) } else { Ok(()) }
    }

    /// All that `create` needs. The pipes' read ends are with PID 1 before
    /// anything can be written to them.
    fn prepare(
        &mut self,
        index: usize,
        key: &Name,
        container: &Container,
        image: &Image,
        connection: Connection,
    ) -> Result<Option<Streams>, String> {
        let folder = place::folder(key);
        let definition = self.cells[index].definition.as_ref();
        let sandbox = definition.and_then(|own| own.sandbox.clone());
        let users = sandbox.as_ref().and_then(|own| own.users);
        let root = place::root(key);
        let words = |error: io::Error| format!("write {}: {}", place::etc(key).display(), cause(&error));
        // One that shares another's network has its host name, too.
        let container = &match &connection {
            Connection::Other { hostname, .. } => {
                Container { hostname: Some(hostname.clone()), ..container.clone() }
            }
            _ if container.uts == Sharing::Host => {
                Container { hostname: Some(etc::hostname(key, container)), ..container.clone() }
            }
            _ => container.clone(),
        };
        let hostname = container.hostname.as_deref().unwrap_or(key);
        // A pod's are its own.
        let etc = match sandbox {
            None => {
                etc::check(container, &connection)?;
                etc::write(key, hostname, container, &connection)
            }
            Some(_) => Ok(EtcFiles::default()),
        };
        let (mut joined, shm) = self.of_others(key, container)?;
        joined.extend(
            connection.netns().map(|path| Namespace { kind: NamespaceKind::Network, path: Some(path) }),
        );
        let around = Surroundings {
            root: root.display().to_string(),
            passwd: read_inside(&root, "etc/passwd"),
            group: read_inside(&root, "etc/group"),
            etc: etc.map_err(words)?,
            joined,
            shm,
            init: verb::program(verb::RUNTIME).display().to_string(),
            devices: device::of(container)?,
            // Nobody in a user namespace may raise what the monitor has.
            most_files: sys::process::most_files().or(users.map(|_| MOST_OPEN)),
            profile: definition.and_then(|own| own.seccomp.clone()),
            kernel: kernel::version(),
            sandbox,
        };
        let mut config = bundle::config(key, container, &image.defaults, &around)?;
        if let (Some(size), Some(process)) = (self.sizes.remove(&index), &mut config.process) {
            process.console_size = Some(ConsoleSize { height: size.rows.into(), width: size.columns.into() });
        }
        make_sources(&container.mounts)?;
        let text = serde_json::to_vec(&config).map_err(|error| error.to_string())?;
        let path = folder.join("config.json");
        sys::file::replace(&path, &text)
            .map_err(|error| format!("write {}: {}", path.display(), cause(&error)))?;
        // The process ID of the instance before this one must not be taken for its own.
        let _ = fs::remove_file(folder.join("pid"));
        if container.tty {
            let path = folder.join("console");
            let console =
                listen(&path).map_err(|error| format!("listen at {}: {}", path.display(), cause(&error)))?;
            self.consoles.insert(index, console);
            return Ok(None);
        }
        let user = config.process.map(|process| process.user).unwrap_or_default();
        let made = self.make_pipes(index, on_node(&user, users), container.stdin);
        made.map(Some).map_err(|error| format!("make its pipes: {}", cause(&error)))
    }

    fn make_pipes(&mut self, index: usize, owner: (u32, u32), with_input: bool) -> io::Result<Streams> {
        let (streams, ends) = pipes(owner, with_input)?;
        let cell = &self.cells[index];
        if let Some(keeper) = &self.keeper {
            let ends: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
            keeper.store(&log_name(&cell.key, cell.observed.generation), &ends)?;
        }
        self.attach(index, ends);
        Ok(streams)
    }

    /// The terminal of a container that was just made, which the runtime has sent.
    pub(super) fn take_terminal(&mut self, index: usize) -> Result<(), String> {
        let Some(console) = self.consoles.remove(&index) else { return Ok(()) };
        let cell = &self.cells[index];
        let _ = fs::remove_file(place::folder(&cell.key).join("console"));
        let named = |error: io::Error| format!("take its terminal: {}", cause(&error));
        let master = take_master(&console).map_err(named)?;
        if let Some(keeper) = &self.keeper {
            keeper.store(&log_name(&cell.key, cell.observed.generation), &[master.as_fd()]).map_err(named)?;
        }
        self.attach(index, vec![master]);
        Ok(())
    }
}

/// Who a user of a container is on the node; `first` is the first of the node's IDs that are its own, if it has some.
pub(super) fn on_node(user: &User, first: Option<u32>) -> (u32, u32) {
    let first = first.unwrap_or(0);
    (first.saturating_add(user.uid), first.saturating_add(user.gid))
}

/// What a program gets, and the ends that stay: output, error, and the input's.
pub(super) fn pipes((uid, gid): (u32, u32), with_input: bool) -> io::Result<(Streams, Vec<OwnedFd>)> {
    let (out, out_writer) = pipe2(OFlag::O_CLOEXEC)?;
    let (err, err_writer) = pipe2(OFlag::O_CLOEXEC)?;
    let mut ends = vec![out, err];
    let mut streams = Streams { input: None, out: out_writer, err: err_writer };
    if with_input {
        let (reader, sink) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&sink, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        streams.input = Some(reader);
        ends.push(sink);
    }
    for end in [Some(&streams.out), Some(&streams.err), streams.input.as_ref()].into_iter().flatten() {
        // So that the program may open /dev/stdout again.
        fchown(end, Some(uid), Some(gid))?;
    }
    Ok((streams, ends))
}

/// What a program gets that writes its output and its errors into one pipe, and where these are read.
pub(super) fn one_pipe((uid, gid): (u32, u32)) -> io::Result<(Streams, OwnedFd)> {
    let (reader, out) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    fchown(&out, Some(uid), Some(gid))?;
    let err = out.try_clone()?;
    Ok((Streams { input: None, out, err }, reader))
}

/// The terminal's master that waits in a console socket.
pub(super) fn take_master(console: &OwnedFd) -> io::Result<OwnedFd> {
    let connection = sys::socket::accept(console.as_fd())?;
    let mut words = [0; 4096];
    let (_, mut descriptors) = sys::descriptors::receive(connection.as_fd(), &mut words)?;
    let master = descriptors.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR))?;
    Ok(master)
}

fn stop(container: &Container, image: &Image) -> Result<Stop, String> {
    let text = container.stop_signal.as_deref().unwrap_or(&image.defaults.stop_signal);
    Ok(Stop { signal: bundle::stop_signal(text)?, grace: container.stop_grace.0 })
}

/// Reads a file below a root, following its symlinks as a program in it would; empty when there is none. What is no
/// regular file counts as none: a container could have put a pipe there, and the monitor waits for nobody.
pub(super) fn read_inside(root: &Path, path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = open_inside(root, path) {
        let _ = file.take(MOST).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn open_inside(root: &Path, path: &str) -> io::Result<File> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = File::from(openat2(&File::open(root)?, path, how)?);
    sys::regular::open_found(&found, File::options().read(true))
}

/// A folder of the data disk that is to be bound into a container and is not
/// there yet is made: nobody else on a node could make it.
fn make_sources(mounts: &[Mount]) -> Result<(), String> {
    for mount in mounts {
        let Mount::Bind { source, propagation, .. } = mount else { continue };
        let path = Path::new(source);
        if path.starts_with(spec::paths::DATA) && !path.exists() {
            fs::create_dir_all(path).map_err(|error| format!("make {source}: {}", cause(&error)))?;
        }
        fs::metadata(path).map_err(|error| format!("mount {source}: {}", cause(&error)))?;
        if matches!(propagation, Propagation::Shared | Propagation::Rshared) {
            let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
            must_be_shared(&table, path)?;
        }
    }
    Ok(())
}

/// Nothing that a container mounts in it would reach the node else.
fn must_be_shared(table: &[u8], source: &Path) -> Result<(), String> {
    let real = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    match mount_of(table, &real) {
        Some((point, false)) => {
            let (source, point) = (source.display(), point.display());
            Err(format!("path {source} is mounted on {point} but it is not a shared mount"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_user_of_a_container_with_its_own_is_another_on_the_node() {
        let user = User { uid: 1000, gid: 5, ..User::default() };
        assert_eq!(on_node(&user, None), (1000, 5));
        assert_eq!(on_node(&user, Some(65_536)), (66_536, 65_541));
    }

    #[test]
    fn what_is_to_reach_the_node_lies_on_a_mount_that_is_shared() {
        let table = b"1 0 8:1 / / rw shared:1 - ext4 r rw\n2 1 0:5 / /proc rw - proc p rw\n";
        assert_eq!(must_be_shared(table, Path::new("/")), Ok(()));
        let private = must_be_shared(table, Path::new("/proc/sys")).unwrap_err();
        assert_eq!(private, "path /proc/sys is mounted on /proc but it is not a shared mount");
    }

    #[test]
    fn a_pipe_in_a_files_place_counts_as_none_and_is_not_waited_for() {
        let root = std::env::temp_dir().join(format!("skerry-inside-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
        symlink("/etc/group", root.join("etc/link")).unwrap();
        mkfifo(&root.join("etc/passwd"), Mode::S_IRWXU).unwrap();
        let (tell, told) = channel();
        let inside = root.clone();
        std::thread::spawn(move || {
            for path in ["etc/link", "etc/passwd", "etc/none", "etc"] {
                tell.send(read_inside(&inside, path)).unwrap();
            }
        });
        let texts =
            [(); 4].map(|()| told.recv_timeout(Duration::from_secs(60)).expect("it waits for nobody"));
        assert_eq!(texts, ["root:x:0:\n", "", "", ""]);
        fs::remove_dir_all(root).unwrap();
    }
}

//! A new instance: its root, its pipes, its bundle.

use super::Monitor;
use crate::bundle::{self, Surroundings};
use crate::image::Image;
use crate::keeper::log_name;
use crate::life::{End, Event, Stop};
use crate::verb::{Verb, Writers};
use crate::{etc, place};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::pipe2;
use spec::node::{Container, Mount, Name};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::fchown;
use std::path::Path;

/// Most of a passwd or group file that is read.
const MOST: u64 = 4 << 20;

impl Monitor {
    /// Makes a new instance, as far as it goes; what came of it is told.
    pub(super) fn create(&mut self, index: usize) {
        let name = self.cells[index].name.clone();
        let Some(container) = self.cells[index].container.clone() else { return };
        let image = match self.images.find(&container.image) {
            Ok(image) => image,
            Err(reason) => return self.tell(index, &Event::Created(Err(End::Missing(reason)))),
        };
        let made = stop(&container, &image).and_then(|stop| {
            self.tell(index, &Event::Creating(stop));
            self.prepare(index, &name, &container, &image)
        });
        match made {
            Ok(writers) => self.begin(index, Verb::Create, Some(&writers)),
            Err(reason) => self.tell(index, &Event::Created(Err(End::NotStarted(reason)))),
        }
        self.remove_old();
    }

    /// All that `create` needs. The pipes' read ends are with PID 1 before
    /// anything can be written to them.
    fn prepare(
        &mut self,
        index: usize,
        name: &Name,
        container: &Container,
        image: &Image,
    ) -> Result<Writers, String> {
        let folder = place::folder(name);
        if self.images.mount(name, image)? {
            self.console.say(&format!("{name}: the data disk is full: what it writes lies in memory"));
        }
        let root = place::root(name);
        let around = Surroundings {
            root: root.display().to_string(),
            passwd: read_inside(&root, "etc/passwd"),
            group: read_inside(&root, "etc/group"),
            etc: etc::write(name).map_err(|error| format!("write {}: {error}", folder.display()))?,
        };
        let config = bundle::config(name, container, &image.defaults, &around)?;
        make_sources(&container.mounts)?;
        let text = serde_json::to_vec(&config).map_err(|error| error.to_string())?;
        let path = folder.join("config.json");
        place::replace(&path, &text).map_err(|error| format!("write {}: {error}", path.display()))?;
        // The process ID of the instance before this one must not be taken for its own.
        let _ = fs::remove_file(folder.join("pid"));
        let user = config.process.map(|process| process.user).unwrap_or_default();
        self.make_pipes(index, (user.uid, user.gid)).map_err(|error| format!("make its pipes: {error}"))
    }

    fn make_pipes(&mut self, index: usize, (uid, gid): (u32, u32)) -> io::Result<Writers> {
        let (out, out_writer) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, err_writer) = pipe2(OFlag::O_CLOEXEC)?;
        for writer in [&out_writer, &err_writer] {
            // So that the program may open /dev/stdout again.
            fchown(writer, Some(uid), Some(gid))?;
        }
        let cell = &self.cells[index];
        if let Some(keeper) = &self.keeper {
            keeper.store(&log_name(&cell.name, cell.observed.generation), &[out.as_fd(), err.as_fd()])?;
        }
        self.attach(index, vec![out, err]);
        Ok(Writers(out_writer, err_writer))
    }
}

fn stop(container: &Container, image: &Image) -> Result<Stop, String> {
    let text = container.stop_signal.as_deref().unwrap_or(&image.defaults.stop_signal);
    Ok(Stop { signal: bundle::stop_signal(text)?, grace: container.stop_grace.0 })
}

/// Reads a file below a root, following its symlinks as a program in it would;
/// empty when there is none.
fn read_inside(root: &Path, path: &str) -> String {
    let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut bytes = Vec::new();
    let opened = File::open(root).ok().and_then(|root| openat2(&root, path, how).ok());
    if let Some(file) = opened {
        let _ = File::from(file).take(MOST).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A folder of the data disk that is to be bound into a container and is not
/// there yet is made: nobody else on a node could make it.
fn make_sources(mounts: &[Mount]) -> Result<(), String> {
    for mount in mounts {
        let Mount::Bind { source, .. } = mount else { continue };
        let path = Path::new(source);
        if path.starts_with(spec::paths::DATA) && !path.exists() {
            fs::create_dir_all(path).map_err(|error| format!("make {source}: {error}"))?;
        }
        fs::metadata(path).map_err(|error| format!("mount {source}: {error}"))?;
    }
    Ok(())
}

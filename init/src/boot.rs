//! The boot: an ordered list of named steps, each timed and told.
//!
//! A step that fails is told with action, object and cause, and the boot goes
//! on: a node that is up with something missing can be looked into, one that
//! stopped cannot. Only without a root there is nothing to go on with.

use crate::clock;
use crate::command_line::CommandLine;
use crate::config::Config;
use crate::console::{self, now};
use crate::control::Control;
use crate::crash;
use crate::data::{self, Data};
use crate::early_mounts;
use crate::error::{Context, Result};
use crate::event_loop::Machine;
use crate::exits::Exits;
use crate::image;
use crate::modules::{Modules, release};
use crate::poller::{Poller, Token};
use crate::power::{self, Button};
use crate::root::{self, Root};
use crate::supervisor::{BUILT_IN, Supervisor};
use crate::uevent::Socket;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use spec::manifest::Manifest;
use std::fs;
use std::os::fd::AsFd;

/// What the steps hand on to one another.
#[derive(Default)]
struct Boot {
    line: CommandLine,
    modules: Modules,
    devices: Option<Socket>,
    root: Root,
    manifest: Option<Manifest>,
    config: Config,
    data: Data,
}

/// What a step tells when it went well; nothing is no line.
type Told = Result<Option<String>>;

struct Step {
    name: &'static str,
    run: fn(&mut Boot) -> Told,
}

/// In this order: see `docs/boot.md`.
#[rustfmt::skip]
const STEPS: [Step; 14] = [
    Step { name: "file systems of the kernel", run: mount_kernels },
    Step { name: "console", run: |_| { console::open(); Ok(None) } },
    Step { name: "cgroups", run: |_| early_mounts::enable_controllers().map(|()| None) },
    Step { name: "command line", run: read_command_line },
    Step { name: "modules to reach the root", run: load_modules },
    Step { name: "root", run: enter_root },
    Step { name: "shared mounts", run: |_| early_mounts::share().map(|()| None) },
    Step { name: "image", run: read_manifest },
    Step { name: "configuration", run: gather_config },
    Step { name: "modules", run: load_all_modules },
    Step { name: "data", run: mount_data },
    Step { name: "configuration in force", run: settle_config },
    Step { name: "clock", run: raise_clock },
    Step { name: "host name and loopback", run: name_host },
];

/// Boots the node and keeps it; never returns.
pub fn run() -> ! {
    let mut boot = Boot::default();
    for step in &STEPS {
        let start = now();
        let told = (step.run)(&mut boot);
        let took = (now() - start).as_millis();
        match told {
            Ok(None) => status!("{} ({took} ms)", step.name),
            Ok(Some(words)) => status!("{}: {words} ({took} ms)", step.name),
            Err(error) => say!("{}: {error} ({took} ms)", step.name),
        }
    }
    match assemble(boot) {
        Ok(mut machine) => {
            machine.supervisor.start(&machine.poller);
            listen(&mut machine);
            machine.run()
        }
        // Without an event loop there is no PID 1; the hook restarts the machine.
        Err(error) => panic!("{error}"),
    }
}

fn mount_kernels(_: &mut Boot) -> Told {
    let mounted = early_mounts::mount_all();
    early_mounts::allow_watches();
    mounted.map(|()| None)
}

fn read_command_line(boot: &mut Boot) -> Told {
    let text = fs::read("/proc/cmdline").context(|| "read /proc/cmdline")?;
    boot.line = CommandLine::parse(&text);
    boot.line.warnings.iter().for_each(|warning| say!("command line: {warning}"));
    if let Some(shown) = boot.line.status {
        console::show_status(shown);
    }
    boot.modules.blacklist = boot.line.blacklist.clone();
    boot.modules.options = std::mem::take(&mut boot.line.module_options);
    crash::restart_kernel(boot.line.panic.is_some())?;
    Ok(None)
}

/// Before the root is there, the initramfs has what the way to it needs.
fn load_modules(boot: &mut Boot) -> Told {
    boot.modules.open();
    if !boot.modules.any() && !root::is_elsewhere(&boot.line) {
        return Ok(None);
    }
    // Opened before the devices are looked at: none slips through in between.
    boot.devices = Some(Socket::open()?);
    let count = boot.modules.cold_plug(boot.devices.as_ref());
    Ok((count > 0).then(|| format!("{count} loaded")))
}

fn enter_root(boot: &mut Boot) -> Told {
    match root::enter(&boot.line, &mut boot.modules, boot.devices.as_ref()) {
        Ok((root, words)) => {
            boot.root = root;
            // It has more modules than the initramfs, those for drives with a configuration among them.
            boot.modules.open();
            Ok(Some(words))
        }
        Err(error) => root::give_up(&boot.line, &error),
    }
}

fn read_manifest(boot: &mut Boot) -> Told {
    boot.manifest = image::manifest()?;
    let Some(manifest) = &boot.manifest else { return Ok(None) };
    let other = image::another_kernels(manifest, &release());
    for warning in [image::too_little_memory(manifest, boot.root), other].iter().flatten() {
        say!("image: {warning}");
    }
    Ok(None)
}

fn gather_config(boot: &mut Boot) -> Told {
    boot.config = Config::gather(&boot.line, &mut boot.modules, boot.devices.as_ref());
    boot.apply_config();
    Ok(None)
}

impl Boot {
    /// What of the configuration the boot itself goes by.
    fn apply_config(&mut self) {
        console::show_status(self.line.status.unwrap_or(self.config.node.console.status));
        let named = self.config.node.modules.blacklist.iter().map(|name| crate::command_line::normal(name));
        self.modules.blacklist = self.line.blacklist.iter().cloned().chain(named).collect();
    }
}

/// Alias of the file system of containers' roots. No hardware asks for it, and there is no
/// program here that the kernel could ask to load it on first use.
const CONTAINER_ROOTS: &str = "fs-overlay";

/// With the root and the configuration, everything else that the hardware asks for.
fn load_all_modules(boot: &mut Boot) -> Told {
    if boot.devices.is_none() && boot.modules.any() {
        boot.devices = Some(Socket::open()?);
    }
    let mut count = match boot.root {
        Root::Initramfs => 0,
        Root::Memory | Root::Disk => boot.modules.cold_plug(boot.devices.as_ref()),
    };
    let named: Vec<&str> = boot.config.node.modules.load.iter().map(|name| &**name).collect();
    count += boot.modules.load_named(&named);
    if boot.root != Root::Initramfs {
        count += boot.modules.load_for(&[CONTAINER_ROOTS.to_owned()]);
    }
    Ok((count > 0).then(|| format!("{count} loaded")))
}

fn mount_data(boot: &mut Boot) -> Told {
    let config = &boot.config.node.data;
    boot.data = data::settle(&boot.line, config, &mut boot.modules, boot.devices.as_ref())?;
    Ok(Some(match &boot.data {
        Data::Disk(name) => format!("on {name}"),
        Data::Memory => "in memory: nothing outlives this boot".to_owned(),
    }))
}

fn settle_config(boot: &mut Boot) -> Told {
    let words = boot.config.settle();
    boot.apply_config();
    boot.config.publish(boot.data != Data::Memory)?;
    Ok(Some(words))
}

fn raise_clock(boot: &mut Boot) -> Told {
    let behind = clock::raise(boot.manifest.as_ref().map(|manifest| manifest.time))?;
    Ok(behind.map(|(seconds, whose)| format!("was {seconds} s behind {whose}; set to {}", clock::stamp())))
}

fn name_host(boot: &mut Boot) -> Told {
    let name = boot.config.node.hostname.as_deref().map_or_else(image::name_by_address, str::to_owned);
    nix::unistd::sethostname(&name).context(|| format!("set the host name {name}"))?;
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let any = any.context(|| "open a socket")?;
    sys::interface::loopback_up(any.as_fd()).context(|| "switch the loopback interface on")?;
    Ok(Some(name))
}

fn assemble(boot: Boot) -> Result<Machine> {
    let poller = Poller::new()?;
    let signals = power::signals()?;
    poller.add(&signals, Token::Signals)?;
    let control = Control::open(&poller).map_err(|error| say!("{error}")).ok();
    Ok(Machine {
        supervisor: Supervisor::new(&boot.config.node, &BUILT_IN)?,
        signals,
        control,
        exits: Exits::default(),
        some_ended: false,
        modules: boot.modules,
        devices: boot.devices,
        button: None,
        watchdog: None,
        watchdog_timeout: boot.config.node.watchdog.timeout.0,
        progress: None,
        helper: None,
        poller,
    })
}

/// What no service waits for comes after they were started.
fn listen(machine: &mut Machine) {
    machine.arm_watchdog();
    if machine.devices.is_none() {
        machine.devices = Socket::open().map_err(|error| say!("{error}")).ok();
    }
    machine.button = Button::open().map_err(|error| status!("{error}")).ok();
    let add = |result: Result<()>| result.unwrap_or_else(|error| say!("{error}"));
    if let Some(devices) = &machine.devices {
        add(machine.poller.add(devices, Token::Devices));
    }
    if let Some(button) = &machine.button {
        add(machine.poller.add(button, Token::Button));
    }
    // Ctrl-Alt-Del becomes a signal to PID 1 instead of a reset.
    let _ = nix::sys::reboot::set_cad_enabled(false);
    // Lists of modules and configurations are read once; a node at rest has no use for their room.
    sys::memory::give_back();
    status!("up");
}

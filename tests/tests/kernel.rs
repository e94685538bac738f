//! The kernel of `make kernel`: its configuration is what kernel/*.config asks for and what
//! docs/kernel.md promises, and it does what a node needs. It must have been built.

use qemu::{Accelerator, Disk, Machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{
    Archive, Board, Image, Node, Result, Scratch, busybox, kernel_folder, repository, said, tuned_kernel,
    unpacked,
};

/// Options and their values; those that are not set have none.
type Options = BTreeMap<String, String>;

#[test]
fn every_line_of_the_fragments_holds_in_what_was_built() -> Result {
    for (variant, built) in [("fast", "config"), ("small", "config-small")] {
        let built = options(&fs::read_to_string(kernel_folder()?.join(built))?);
        let mut lost = Vec::new();
        for file in ["common", variant] {
            let text = fs::read_to_string(repository().join(format!("kernel/{file}.config")))?;
            let wanted = options(&text);
            assert!(!wanted.is_empty(), "{file}.config says nothing");
            for (name, value) in wanted {
                let real = built.get(&name).map_or("n", String::as_str);
                if real != value {
                    lost.push(format!("{file}.config: {name}={value} became {real}"));
                }
            }
        }
        assert!(lost.is_empty(), "{variant}:\n{}", lost.join("\n"));
    }
    Ok(())
}

/// The page's table of the Kernel Self-Protection Project's recommendations: what each row says
/// of ours is so, a row that follows says what is recommended, and one that does not has a reason.
#[test]
fn the_table_of_hardening_is_true_and_every_deviation_has_its_reason() -> Result {
    let page = fs::read_to_string(repository().join("docs/kernel.md"))?;
    let built = options(&fs::read_to_string(kernel_folder()?.join("config"))?);
    let rows = hardening(&page);
    assert!(rows.len() > 60, "{} rows are not the table", rows.len());
    for Row { name, deviates, wanted, ours, why } in rows {
        assert_eq!(ours, value(&built, name), "{name}");
        assert_eq!(deviates, ours != wanted, "{name}: {wanted} is wanted, {ours} is ours");
        assert!(!deviates || why.len() > 10, "{name} deviates without a reason");
    }
    Ok(())
}

/// What Debian's kernel has of hardening ours has, or the page has a row of it, or of what it belongs to.
#[test]
fn hardening_is_as_debian_has_it_or_the_page_says_why_not() -> Result {
    let page = fs::read_to_string(repository().join("docs/kernel.md"))?;
    let built = options(&fs::read_to_string(kernel_folder()?.join("config"))?);
    let debian = options(&fs::read_to_string(debian_configuration()?)?);
    let (recommendations, beside) = page.split_once("What Debian's cloud kernel has beside these").unwrap();
    for Row { name, ours, why, .. } in hardening(recommendations) {
        assert!(!why.starts_with("as Debian") || value(&debian, name) == ours, "{name}: not as Debian");
    }
    for Row { name, wanted, .. } in hardening(beside) {
        assert_eq!(value(&debian, name), wanted, "{name}: Debian's");
    }
    let named: Vec<&str> = hardening(&page).iter().map(|row| row.name).collect();
    let is_named = |name: &str| {
        named
            .iter()
            .any(|row| name.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
    };
    let about = |name: &str| {
        let name = name.trim_start_matches("CONFIG_");
        HARDENING.iter().any(|family| name.starts_with(family)) || name.contains("HARDENED")
    };
    let on: Vec<&String> =
        debian.iter().filter(|(name, on)| *on != "n" && about(name)).map(|(name, _)| name).collect();
    assert!(on.len() > 60, "{} options are not Debian's hardening", on.len());
    let lost: Vec<_> = on.iter().filter(|name| value(&built, name) == "n" && !is_named(name)).collect();
    assert!(lost.is_empty(), "Debian has and ours has not, without a word: {lost:?}");
    Ok(())
}

#[test]
fn it_does_what_a_node_needs() -> Result {
    let scratch = Scratch::new()?;
    let vm = machine_with_everything(scratch.path())?.start()?;
    let last = vm.console().wait_for("features: ")?;
    let text = vm.console().text();
    let missing: Vec<&str> = text.lines().filter(|line| line.contains(": MISSING")).collect();
    assert!(last.ends_with(", 0 missing"), "{}", missing.join("\n"));
    let checks = fs::read_to_string(repository().join("tests/kernel/features"))?;
    let named = checks.lines().filter(|line| line.starts_with("feature \"")).count();
    let there = text.lines().filter(|line| line.trim_end().ends_with(": ok")).count();
    assert!(there > named, "{there} of more than {named} checks were made");
    Ok(vm.wait_off()?)
}

#[test]
fn a_node_boots_on_each_of_its_forms_and_runs_a_container() -> Result {
    for (board, file) in [
        (Board::Microvm, "vmlinux"),
        (Board::Q35, "vmlinux"),
        (Board::Q35, "bzImage"),
        (Board::Q35, "bzImage-small"),
    ] {
        let image = Image::with_images().kernel(tuned_kernel(file)?);
        let node = Node::new().image(image).board(board).config(CONTAINER).boot()?;
        node.console().wait_for("hello from a container")?;
        // By QEMU's first card. The interfaces that the kernel makes by itself have other addresses at each boot.
        node.console().wait_for("host name and loopback: skerry-525400123456")?;
        let release = node.run("uname -r")?;
        assert!(release.contains("-skerry"), "{file}: {release}");
        let said = node.console().text();
        assert!(!said.contains("no such module"), "{file}: modules are missed:\n{said}");
        node.power_off()?;
    }
    Ok(())
}

/// By its EFI stub, from the firmware that Debian has for virtual machines.
#[test]
fn a_machine_with_uefi_starts_it() -> Result {
    let scratch = Scratch::new()?;
    let initramfs = scratch.path().join("initramfs.cpio");
    let archive = ["/bin", "/dev", "/sys"].into_iter().fold(Archive::default(), Archive::folder);
    fs::write(&initramfs, archive.file("/bin/busybox", &busybox()?)?.text("/init", VARIABLES).finish())?;
    let firmware = unpacked("ovmf")?.join("usr/share/ovmf/OVMF.fd");
    for file in ["bzImage", "bzImage-small"] {
        let machine = Machine::q35().option("-bios", &firmware.display().to_string());
        let vm = machine.kernel(tuned_kernel(file)?, &initramfs, "console=ttyS0 quiet").start()?;
        let line = vm.console().wait_for("firmware: ")?;
        assert!(line.contains("64 bits, BootOrder"), "{file}: {line}");
        vm.wait_off()?;
    }
    Ok(())
}

/// PID 1 of a machine that is about UEFI alone.
const VARIABLES: &str = "#!/bin/busybox sh
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t sysfs sysfs /sys
busybox mount -t efivarfs efivarfs /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars && echo firmware: $(busybox cat ../fw_platform_size) bits, BootOrder* >/dev/console
busybox poweroff -f
";

#[test]
fn a_hardware_clock_that_is_wrong_is_set_right() -> Result {
    let scratch = Scratch::new()?;
    let initramfs = scratch.path().join("initramfs.cpio");
    let archive = ["/bin", "/dev"].into_iter().fold(Archive::default(), Archive::folder);
    let archive = archive.file("/bin/busybox", &busybox()?)?.file("/bin/call", &call(scratch.path())?)?;
    fs::write(&initramfs, archive.text("/init", CLOCK).finish())?;
    let machine = Machine::q35().option("-rtc", "base=2035-01-01T00:00:00");
    let vm = machine.kernel(tuned_kernel("vmlinux")?, &initramfs, "console=ttyS0 quiet").start()?;
    vm.console().wait_for("the year is 2035")?;
    vm.console().wait_for("the year is 2027")?;
    Ok(vm.wait_off()?)
}

/// PID 1 of a machine whose clock begins wrong: it sets the clock right until the hardware's is, too, which a reset shows.
/// It says more than once that it is right, as a time service does: the kernel forgets it when it takes another clock
/// source, after a second or two.
const CLOCK: &str = "#!/bin/busybox sh
busybox mount -t devtmpfs devtmpfs /dev
exec >/dev/console 2>&1
echo the year is $(busybox date +%Y)
[ $(busybox date +%Y) = 2035 ] || busybox poweroff -f
busybox date -s '2027-06-01 00:00:00'
for second in 1 2 3 4 5; do /bin/call clock-is-right; busybox sleep 1; done
busybox reboot -f
";

/// The bar of what a small node needs.
#[test]
fn a_node_of_56_mib_runs_a_container() -> Result {
    let image = Image::empty().container("busybox").with(CONTAINER, "").kernel(tuned_kernel("vmlinux")?);
    let node = Node::new().image(image).board(Board::Microvm).memory(56).boot()?;
    node.console().wait_for("hello from a container")?;
    node.power_off()
}

const CONTAINER: &str = "[containers.one]\nimage = \"busybox\"\nconsole = true\n\
                         args = [\"sh\", \"-c\", \"echo hello from a container; exec sleep 1000000\"]\nstop-grace = \"1s\"\n";

/// How names of options that harden begin.
const HARDENING: [&str; 27] = [
    "BPF_LSM",
    "BPF_UNPRIV",
    "BUG",
    "DEBUG_LIST",
    "DEBUG_WX",
    "DM_VERITY",
    "EVM",
    "FORTIFY",
    "FS_VERITY",
    "IMA",
    "INIT_ON",
    "INIT_STACK",
    "INTEGRITY",
    "KFENCE",
    "LOCK_DOWN",
    "MITIGATION",
    "RANDOM",
    "SECCOMP",
    "SECURITY",
    "SLAB",
    "STACKPROTECTOR",
    "STRICT",
    "VMAP_STACK",
    "X86_KERNEL_IBT",
    "X86_SGX",
    "X86_UMIP",
    "X86_USER_SHADOW_STACK",
];

/// A row of docs/kernel.md about an option that hardens.
struct Row<'a> {
    name: &'a str,
    /// It is in bold: ours is not what the second column says.
    deviates: bool,
    wanted: &'a str,
    ours: &'a str,
    why: &'a str,
}

fn hardening(page: &str) -> Vec<Row<'_>> {
    let rows = page.lines().filter(|line| line.starts_with("| `CONFIG_") || line.starts_with("| **`CONFIG_"));
    rows.map(|line| {
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, wanted, ours, why] = columns[..] else { panic!("not four columns: {line}") };
        Row { name: name.trim_matches(['*', '`']), deviates: name.starts_with("**"), wanted, ours, why }
    })
    .collect()
}

/// The configuration of the packaged kernel, as `skerry-image` has unpacked it.
fn debian_configuration() -> Result<PathBuf> {
    Image::empty().packaged_kernel().build()?;
    let found = said(
        Command::new("sh").args(["-c", "ls -t ${SKERRY_CACHE:-~/.cache/skerry}/kernel/*/boot/config-*"]),
    )?;
    Ok(PathBuf::from(found.lines().next().unwrap_or_default()))
}

fn value<'a>(options: &'a Options, name: &str) -> &'a str {
    options.get(name).map_or("n", String::as_str)
}

fn options(text: &str) -> Options {
    let option = |line: &str| {
        if let Some(name) = line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set")) {
            return Some((name.to_owned(), "n".to_owned()));
        }
        let (name, value) = line.split_once('=')?;
        name.starts_with("CONFIG_").then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(option).collect()
}

/// A q35 machine with one of each device, and an initramfs whose `/init` asks for each feature.
fn machine_with_everything(scratch: &Path) -> Result<Machine> {
    let share = scratch.join("share");
    fs::create_dir(&share)?;
    fs::write(share.join("greeting"), "hello\n")?;
    let disk = scratch.join("disk");
    fs::write(&disk, format!("hello{}", "\0".repeat((1 << 20) - 5)))?;
    let initramfs = scratch.join("initramfs.cpio");
    fs::write(&initramfs, archive(scratch, &share)?)?;
    let words = "console=ttyS0 quiet panic=1 hugepages=0 reserve_mem=1M:4096:oops ramoops.mem_name=oops";
    let drive = |name: &str| format!("if=none,id={name},format=raw,readonly=on,file={}", disk.display());
    let machine = Machine::q35()
        .accelerator(Accelerator::detect())
        .kernel(tuned_kernel("vmlinux")?, initramfs, words)
        .disk(Disk::new(disk.clone()).read_only())
        .network(qemu::Network::user())
        .channel("skerry.test")
        .watchdog()
        .option("-drive", &drive("nvme0"))
        .option("-device", "nvme,serial=one,drive=nvme0")
        .option("-drive", &drive("scsi0"))
        .option("-drive", &drive("cd0"))
        .option("-device", "virtio-scsi-pci")
        .option("-device", "scsi-hd,drive=scsi0")
        .option("-device", "scsi-cd,drive=cd0")
        .option("-device", "virtio-balloon-pci")
        .option("-fsdev", &format!("local,id=share,security_model=none,readonly=on,path={}", share.display()))
        .option("-device", "virtio-9p-pci,fsdev=share,mount_tag=share")
        .option("-fw_cfg", "name=opt/skerry,string=hello")
        .option("-smbios", "type=11,value=hello");
    Ok(machine)
}

/// What tests/kernel/call.c makes.
fn call(scratch: &Path) -> Result<PathBuf> {
    let call = scratch.join("call");
    let source = repository().join("tests/kernel/call.c");
    said(Command::new("gcc").args(["-Wall", "-Os", "-static", "-o"]).arg(&call).arg(source))?;
    Ok(call)
}

/// busybox, Debian's `ip`, `nft`, `iptables-nft` and `dmsetup` with their libraries, and file systems to mount.
fn archive(scratch: &Path, tree: &Path) -> Result<Vec<u8>> {
    let tools = ["/sbin/ip", "/usr/sbin/nft", "/usr/sbin/iptables-nft", "/sbin/dmsetup"].map(PathBuf::from);
    let call = call(scratch)?;
    said(Command::new("sh").arg(repository().join("tests/kernel/disks")).arg(tree).arg(scratch))?;
    let folders = ["/bin", "/sbin", "/usr", "/usr/sbin", "/lib", "/lib64", "/lib/x86_64-linux-gnu", "/data"];
    let extensions = Path::new("/usr/lib/x86_64-linux-gnu/xtables");
    let mut archive = folders.into_iter().fold(Archive::default(), Archive::folder);
    archive = archive
        .folder("/usr/lib")
        .folder("/usr/lib/x86_64-linux-gnu")
        .folder(&extensions.display().to_string());
    archive = archive.file("/init", &repository().join("tests/kernel/features"))?;
    archive = archive.file("/bin/busybox", &busybox()?)?.file("/bin/call", &call)?;
    for tool in &tools {
        archive = archive.file(&tool.display().to_string(), &tool.canonicalize()?)?;
    }
    for library in libraries(&tools)? {
        archive = archive.file(&library.display().to_string(), &library.canonicalize()?)?;
    }
    for extension in std::fs::read_dir(extensions)? {
        let path = extension?.path();
        archive = archive.file(&path.display().to_string(), &path)?;
    }
    for file in ["tree.erofs", "tree.verity", "verity.table", "disk.ext4", "disk.vfat", "disk.gpt"] {
        archive = archive.file(&format!("/data/{file}"), &scratch.join(file))?;
    }
    Ok(archive.finish())
}

/// What ldd(1) says of all of them, each once, where the dynamic linker looks.
fn libraries(programs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let words = said(Command::new("ldd").args(programs))?;
    let paths = words.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        let name = Path::new(path).file_name()?;
        match path.contains("ld-linux") {
            true => Some(Path::new("/lib64").join(name)),
            false => (!path.ends_with(':')).then(|| Path::new("/lib/x86_64-linux-gnu").join(name)),
        }
    });
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

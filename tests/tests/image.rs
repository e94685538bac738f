//! What `skerry-image` delivers, and `skerry-vm` as a user runs it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tests::{Image, Result, Scratch, programs};

#[test]
fn a_released_image_has_neither_shell_nor_interpreter_nor_dynamic_linker() -> Result {
    let folder = Image::of_recipe("demo.toml", &["nginx"]).build()?;
    let listing =
        Command::new("dump.erofs").args(["--ls", "--path=/"]).arg(folder.join("root.erofs")).output()?;
    assert!(listing.status.success(), "dump.erofs: {}", String::from_utf8_lossy(&listing.stderr));
    let extracted = Scratch::new()?;
    let to = format!("--extract={}", extracted.path().display());
    let output =
        Command::new("fsck.erofs").arg(to).arg("--overwrite").arg(folder.join("root.erofs")).output()?;
    assert!(output.status.success(), "fsck.erofs: {}", String::from_utf8_lossy(&output.stderr));
    let files = files_below(extracted.path())?;
    for name in ["sh", "bash", "busybox", "python3", "perl", "ld-linux-x86-64.so.2", "apt", "dpkg"] {
        assert!(!files.keys().any(|path| path.ends_with(&format!("/{name}"))), "{name} is in the root");
    }
    assert!(files.contains_key("/sbin/skerry-monitor"), "is this a root? {:?}", files.keys());
    let init = fs::read(folder.join("initramfs.cpio"))?;
    let feature = b"panic-test".as_slice();
    assert!(!init.windows(feature.len()).any(|bytes| bytes == feature), "PID 1 can be made to panic");
    Ok(())
}

#[test]
fn the_same_recipe_gives_the_same_bytes_elsewhere_and_under_another_umask() -> Result {
    let built = Image::of_recipe("memory.toml", &["busybox"]).build()?;
    let folder = Scratch::new()?;
    let again = folder.path().join("deeper/elsewhere");
    fs::create_dir_all(&again)?;
    let script = "umask 077 && exec \"$0\" build \"$1\" -o \"$2\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .args([programs().join("skerry-image"), built.join("recipe.toml"), again.clone()])
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["vmlinuz", "initramfs.cpio", "initramfs-memory.cpio", "root.erofs", "manifest.toml"] {
        assert!(fs::read(built.join(file))? == fs::read(again.join(file))?, "{file} differs");
    }
    Ok(())
}

#[test]
fn an_image_without_container_images_is_at_most_24_mib() -> Result {
    let folder = Image::empty().build()?;
    let sizes = ["vmlinuz", "initramfs.cpio", "root.erofs"].map(|file| folder.join(file).metadata());
    let mut sum = 0;
    for size in sizes {
        sum += size?.len();
    }
    assert!(sum <= 24 << 20, "{sum} bytes");
    Ok(())
}

#[test]
fn less_memory_than_the_image_needs_is_refused_in_words() -> Result {
    let folder = Image::of_recipe("memory.toml", &["busybox"]).build()?;
    let words = refusal(&folder, &["--memory", "64M"])?;
    assert!(words.contains("this image needs at least"), "{words}");
    Ok(())
}

#[test]
fn a_busy_port_and_a_missing_file_are_refused_in_one_line() -> Result {
    let folder = Image::of_recipe("memory.toml", &["busybox"]).build()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let words = refusal(&folder, &["--port", &format!("{port}:80")])?;
    assert!(words.starts_with(&format!("skerry-vm: port {port} is busy")), "{words}");
    let words = refusal(&folder, &["--data", "/no/such/disk"])?;
    assert_eq!(words, "skerry-vm: open /no/such/disk: no such file or directory");
    let words = refusal(Path::new("/no/such/image"), &[])?;
    assert!(words.starts_with("skerry-vm: read /no/such/image/manifest.toml: no such file"), "{words}");
    Ok(())
}

#[test]
fn an_interrupt_ends_a_run_cleanly_and_its_port_is_told() -> Result {
    let folder = Image::of_recipe("memory.toml", &["busybox"]).build()?;
    let port = free_port()?;
    let mut run = run(&folder, &["--port", &format!("{port}:80"), "--from-memory"])?;
    let stdout = run.stdout.take().ok_or_else(|| tests::Failure::new("no standard output"))?;
    let mut lines = BufReader::new(stdout).lines().map_while(std::io::Result::ok);
    let address = format!("http://127.0.0.1:{port}");
    let mut seen = Vec::new();
    let told = lines.by_ref().any(|line| {
        let told = line.trim_end() == address;
        seen.push(line);
        told
    });
    assert!(told, "{address} was not told:\n{}", seen.join("\n"));
    signal(&run, "INT")?;
    seen.extend(lines);
    let status = run.wait()?;
    assert!(status.success(), "{status}:\n{}", seen.join("\n"));
    Ok(())
}

#[test]
fn a_killed_run_leaves_no_machine_behind() -> Result {
    let folder = Image::of_recipe("memory.toml", &["busybox"]).build()?;
    let mut run = run(&folder, &["--from-memory"])?;
    let stdout = run.stdout.take().ok_or_else(|| tests::Failure::new("no standard output"))?;
    let mut lines = BufReader::new(stdout).lines().map_while(std::io::Result::ok);
    lines.next();
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id()))?;
    let mut machines: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
    for task in fs::read_dir(format!("/proc/{}/task", run.id()))? {
        let children = fs::read_to_string(task?.path().join("children"))?;
        machines.extend(children.split_whitespace().map(str::to_owned));
    }
    assert!(!machines.is_empty(), "no machine runs");
    signal(&run, "KILL")?;
    assert_eq!(run.wait()?.signal(), Some(9));
    for machine in machines {
        wait_for_end(&machine)?;
    }
    Ok(())
}

/// Runs `skerry-vm` where it cannot, and returns the one line that it says.
fn refusal(folder: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(programs().join("skerry-vm")).arg("run").arg(folder).args(words).output()?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    Ok(said)
}

fn run(folder: &Path, words: &[&str]) -> Result<Child> {
    let mut command = Command::new(programs().join("skerry-vm"));
    command.arg("run").arg(folder).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

fn signal(child: &Child, name: &str) -> Result {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status()?;
    assert!(status.success(), "kill: {status}");
    Ok(())
}

/// Waits until a process that is not our child is gone or a zombie.
fn wait_for_end(pid: &str) -> Result {
    let wait = "while [ -d /proc/$0 ] && ! grep -q '^State:.Z' /proc/$0/status; do sleep 0.05; done";
    let status = Command::new("timeout").args(["20", "sh", "-c", wait, pid]).status()?;
    assert!(status.success(), "process {pid} still runs");
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Every file below a folder with its size, by absolute path within it.
fn files_below(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => {
                    let path = entry.path();
                    let name = path.strip_prefix(folder)?.display().to_string();
                    files.insert(format!("/{name}"), entry.metadata()?.len());
                }
            }
        }
    }
    Ok(files)
}

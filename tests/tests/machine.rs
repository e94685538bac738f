//! `skerry-vm` as a user runs it: what it refuses, and how a run ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tests::{CTRL_C, Image, Port, Result, Terminal, programs};

/// What Ctrl-C is to `--interactive`.
const CTRL_BRACKET: u8 = 0x1d;

#[test]
fn less_memory_than_the_image_needs_is_refused_in_words() -> Result {
    // The tuned one has enough of these.
    let folder = Image::of_recipe("memory.toml", &["busybox"]).packaged_kernel().build()?;
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
fn a_machine_without_qemu_is_told_what_to_install() -> Result {
    let folder = Image::empty().build()?;
    let output = Command::new(programs().join("skerry-vm"))
        .arg("run")
        .arg(folder)
        .env("PATH", "/nonexistent")
        .output()?;
    let words =
        "skerry-vm: qemu-system-x86_64 is not installed; it is in the Debian package qemu-system-x86\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), words);
    Ok(())
}

#[test]
fn in_an_interactive_run_ctrl_c_is_the_nodes_and_another_key_switches_off() -> Result {
    let folder = Image::empty().build()?;
    let line = format!("{} run {} --interactive", programs().join("skerry-vm").display(), folder.display());
    let mut terminal = Terminal::run(&mut Command::new("script"), &line)?;
    terminal.wait_for("] up")?;
    terminal.press(CTRL_C)?;
    terminal.press(CTRL_BRACKET)?;
    terminal.wait_for("skerry-vm: switching the node off")?;
    assert!(terminal.end()?.success(), "{}", terminal.screen());
    assert!(!terminal.screen().contains("hurrying the node"), "Ctrl-C was taken for a stop");
    Ok(())
}

#[test]
fn an_interrupt_ends_a_run_cleanly_and_its_port_is_told() -> Result {
    let folder = Image::of_recipe("memory.toml", &["busybox"]).build()?;
    let held = Port::free()?;
    let port = held.number;
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
    let position = |text: &str| seen.iter().position(|line| line.contains(text));
    let order = [position("web: stopping"), position("monitor: ended"), position("unmounted; power off")];
    assert!(order[0].is_some() && order.is_sorted(), "containers first:\n{}", seen.join("\n"));
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

/// Runs `skerry-vm` where it cannot, and returns the one line that it says. One that runs all the same is ended.
fn refusal(folder: &Path, words: &[&str]) -> Result<String> {
    let mut run = Command::new("timeout");
    run.arg("60").arg(programs().join("skerry-vm")).arg("run").arg(folder).args(words);
    let output = run.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(output.status.code(), Some(1), "not refused within a minute? {said}");
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

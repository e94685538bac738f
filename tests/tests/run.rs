//! `make run` as a user without root types it.

use std::fs;
use std::process::{Command, Output};
use tests::{CTRL_C, Checkout, Port, Result, Terminal, container_archive, page_at, repository};

/// What a command that must fail says: one line on standard error.
fn refusal(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!((output.status.code(), words.lines().count()), (Some(1), 1), "{words}");
    words
}

#[test]
fn ctrl_c_stops_containers_first_and_nothing_stays_behind() -> Result {
    let checkout = Checkout::new()?;
    let held = Port::free()?;
    let port = held.number;
    let line = format!("PORT={port} tools/run boot");
    let mut terminal = Terminal::run(&mut checkout.command("script"), &line)?;
    terminal.wait_for(&format!("http://127.0.0.1:{port}"))?;
    assert!(page_at(port, "/")?.contains("Skerry"));
    terminal.press(CTRL_C)?;
    for line in ["switching the node off", "web: stopping", "web: exited", "unmounted; power off"] {
        terminal.wait_for(line)?;
    }
    assert!(terminal.end()?.success(), "{}", terminal.screen());
    assert_eq!(checkout.strangers()?, "");

    let again = checkout.shell("tools/run image")?;
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "the image is in target/run/demo\n",
        "was built twice"
    );
    Ok(())
}

#[test]
fn make_itself_ends_well_after_ctrl_c() -> Result {
    let held = Port::free()?;
    let port = held.number;
    let mut script = Command::new("script");
    let mut terminal = Terminal::run(
        script.current_dir(repository()),
        &format!("make run PORT={port} APPEND=skerry.set=hostname=typed"),
    )?;
    terminal.wait_for_all(&["host name and loopback: typed", &format!("http://127.0.0.1:{port}")])?;
    terminal.press(CTRL_C)?;
    assert!(terminal.end()?.success(), "{}", terminal.screen());
    Ok(())
}

#[test]
fn an_image_of_ones_own_runs_whichever_kind_of_archive_it_is() -> Result {
    let checkout = Checkout::new()?;
    for name in ["busybox", "nginx"] {
        fs::copy(container_archive(name)?, checkout.tree().join(format!("{name}.tar")))?;
    }
    let docker = checkout.shell("IMAGE=busybox.tar tools/run image")?;
    assert!(docker.status.success(), "{}", String::from_utf8_lossy(&docker.stderr));
    let held = Port::free()?;
    let port = held.number;
    let line = format!("IMAGE=nginx.tar PORT={port} tools/run boot");
    let mut terminal = Terminal::run(&mut checkout.command("script"), &line)?;
    terminal.wait_for_all(&["app: running", &format!("http://127.0.0.1:{port}")])?;
    terminal.press(CTRL_C)?;
    assert!(terminal.end()?.success(), "{}", terminal.screen());
    Ok(())
}

#[test]
fn what_is_no_container_image_is_refused_in_one_line() -> Result {
    let checkout = Checkout::new()?;
    fs::write(checkout.tree().join("text.tar"), "no archive\n")?;
    let line = "echo x >index.json && tar -cf other.tar index.json && touch oci-layout && tar -cf cut.tar oci-layout";
    assert!(checkout.shell(line)?.status.success());
    for (image, words) in [
        ("gone.tar", "make run: gone.tar is not there"),
        ("text.tar", "make run: text.tar is not an archive of a container image"),
        ("cut.tar", "make run: skopeo cannot read cut.tar"),
        ("other.tar", "make run: other.tar is neither an oci-archive nor a docker-archive"),
    ] {
        let output = checkout.shell(&format!("IMAGE={image} tools/run image"))?;
        let said = refusal(&output);
        assert!(said.starts_with(words), "{said}");
    }
    Ok(())
}

#[test]
fn a_full_disk_is_one_line_and_leaves_no_part_of_an_image() -> Result {
    let checkout = Checkout::new()?;
    let script = "mkdir -p target/run && mount -t tmpfs -o size=4m none target/run && tools/run image
        status=$?; ls target/run/demo; exit $status";
    let output = checkout.command("unshare").args(["-rm", "sh", "-c", script]).output()?;
    let words = refusal(&output).to_lowercase();
    assert!(words.starts_with("skerry-image: ") && words.contains("no space left on device"), "{words}");
    let left = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!left.contains("erofs") && !left.contains("cpio") && !left.contains("vmlinuz"), "{left}");
    Ok(())
}

#[test]
fn no_network_and_no_kernel_yet_is_one_line() -> Result {
    let checkout = Checkout::new()?;
    fs::remove_dir_all(checkout.tree().join("../.cache/skerry/kernel"))?;
    let alone = ["--user", "--map-current-user", "--net", "tools/run", "image"];
    let words = refusal(&checkout.command("unshare").args(alone).output()?);
    assert!(words.starts_with("skerry-image: recipes/demo.toml:"), "{words}");
    assert!(words.contains(": download linux-image-") && words.contains("resolving"), "{words}");
    Ok(())
}

#[test]
fn missing_packages_that_cannot_be_installed_are_one_line() -> Result {
    let checkout = Checkout::new()?;
    let tools = "mkdir bin && for tool in dpkg-query env id mktemp rm sed tail; do
        ln -s $(command -v $tool) bin; done";
    assert!(checkout.shell(tools)?.status.success());
    let path = format!("PATH={}", checkout.tree().join("bin").display());
    let need = || checkout.command("env").args([&path, "tools/need", "sed", "no-such-package"]).output();
    assert_eq!(refusal(&need()?), "tools/need: this machine has no apt-get; Skerry needs no-such-package");

    let apt_get = "printf '#!/bin/sh\\necho E: No route to Debian >&2\\nexit 100\\n' >bin/apt-get";
    assert!(checkout.shell(&format!("{apt_get} && chmod +x bin/apt-get"))?.status.success());
    let words = "tools/need: neither root nor sudo; as root: apt-get install no-such-package";
    assert_eq!(refusal(&need()?), words);

    let sudo = "printf '#!/bin/sh\\nexec \"$@\"\\n' >bin/sudo && chmod +x bin/sudo";
    assert!(checkout.shell(sudo)?.status.success());
    let output = need()?;
    assert_eq!(refusal(&output), "tools/need: install no-such-package: No route to Debian");
    let told = "Skerry needs these Debian packages, which are not installed yet: no-such-package\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), told);
    Ok(())
}

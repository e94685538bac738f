//! The runtime's black-box tests, `runtime/tests/containers`, on a machine with every controller of cgroup v2 and
//! every capability: what is left out elsewhere for want of one runs here.

use tests::{Debian, Output, Result};

/// The tests' program with these words, an emulated machine's patience, and the runtime under test.
fn command(words: &str) -> String {
    let runtime = Debian::runtime();
    format!(
        "SKERRY_TEST_RUNTIME={runtime} SKERRY_TEST_PATIENCE=150 /given/more/containers {words} --test-threads 2 2>&1"
    )
}

/// All went well, and nothing was left out for want of a controller or a capability; how many tests there were.
fn passed(text: &str) -> usize {
    let closing = text.lines().rfind(|line| line.starts_with("test result: ")).unwrap_or_default();
    assert!(closing.starts_with("test result: ok. ") && closing.contains(" 0 failed; "), "{text}");
    assert!(!text.contains("controller here") && !text.contains("CAP_SYS_RESOURCE here"), "{text}");
    closing.split(' ').nth(3).and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn limits_hold_for_what_a_container_does() -> Result {
    let debian = Debian::lent()?;
    let words = "limits:: hard_limits a_user_has_limits a_limit_that";
    let Output { text, .. } = debian.try_run(&command(words))?;
    let listed = debian.run(&format!("/given/more/containers {words} --list"))?;
    let tests = listed.lines().filter(|line| line.ends_with(": test")).count();
    assert_eq!(passed(&text), tests, "{text}");
    assert!(tests >= 10, "{listed}");
    Ok(())
}

#[test]
#[ignore = "long"]
fn every_test_of_the_runtime_passes() -> Result {
    let debian = Debian::lent()?;
    let service = format!("/bin/bash -c '{} >/run/containers.log'", command(""));
    debian.run(&format!("systemd-run --quiet --unit containers {service}"))?;
    // A command may take ten minutes at most, and this takes longer.
    let ended = "timeout 300 bash -c 'while systemctl -q is-active containers; do sleep 1; done'";
    let mut waits = 0..24;
    while debian.try_run(ended)?.status != 0 {
        waits.next().expect("it ends within two hours");
    }
    let text = debian.run("cat /run/containers.log")?;
    let tests = passed(&text);
    assert!(tests > 200, "{tests}");
    println!("{tests} passed");
    Ok(())
}

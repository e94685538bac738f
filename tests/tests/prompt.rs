//! Skerry's prompt on a node's console, typed at over the serial line.

use tests::{Image, Node, Result, Running};

const CONFIG: &str = "[console]\nprompt = true\n";
const PROMPT: &str = "\nskerry> ";

/// A node with the prompt on its console, which stands there.
fn node() -> Result<Running> {
    let node = Node::new().image(Image::empty().container("busybox").skerry()).config(CONFIG).boot()?;
    node.console().from_start().after(PROMPT)?;
    Ok(node)
}

/// Types a line at the prompt and gives what comes before the next prompt.
fn typed(node: &Running, line: &str) -> Result<String> {
    let now = node.console().from_now();
    node.console().send(format!("{line}\r"))?;
    // The prompt shows the line anew with each key, so this is what it is like at its end.
    // Somebody else may say a line before it goes to the next.
    let said = now.after(&format!("{line}\x1b[K"))?.after("\n")?;
    let prompt = said.after(PROMPT)?;
    Ok(said.before(&prompt))
}

#[test]
fn containers_are_handled_at_the_prompt_of_the_console() -> Result {
    let node = node()?;
    let id = typed(&node, "run -d --name web --stop-signal KILL busybox sleep 1000000")?;
    // The monitor says on the same console what becomes of it.
    node.console().wait_for("web: running")?;
    let is_id = |line: &&str| line.len() == 64 && line.bytes().all(|digit| digit.is_ascii_hexdigit());
    assert_eq!(id.lines().filter(is_id).count(), 1, "{id}");
    let listed = typed(&node, "ps --format '{{.Names}} {{.State}} {{.Image}}'")?;
    assert!(listed.lines().any(|line| line == "web running busybox"), "{listed}");
    let refused = typed(&node, "stop wbe")?;
    assert!(refused.contains(r#"skerry: container "wbe": there is none (did you mean "web"?)"#), "{refused}");
    let stopped = typed(&node, "stop web")?;
    assert!(stopped.lines().any(|line| line == "web"), "{stopped}");
    let listed = typed(&node, "ps -a --format '{{.Names}} {{.State}}'")?;
    assert!(listed.lines().any(|line| line == "web exited"), "{listed}");
    // It comes back when it is ended.
    let now = node.console().from_now();
    node.console().send("exit\r")?;
    now.after("prompt: ")?.after(PROMPT)?;
    Ok(())
}

#[test]
fn what_is_typed_ahead_reaches_the_program_that_is_begun_and_then_the_prompt() -> Result {
    let node = node()?;
    for round in 0..5 {
        let now = node.console().from_now();
        let last = format!("stop no-{round}");
        node.console().send(format!("run -it --rm busybox sh\recho $(({round} + 100)) of it\rexit 3\r"))?;
        // A line of the console may come before it ends.
        let ended = now.after(&format!("{} of it", round + 100))?.after(PROMPT)?;
        node.console().send(format!("ps -a\rversion\r{last}\r"))?;
        ended
            .after("CONTAINER ID")?
            .after("Protocol: ")?
            .after(&format!(r#""no-{round}""#))?
            .after(PROMPT)?;
    }
    Ok(())
}

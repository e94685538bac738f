//! What is seen while layers come and go: bars on a terminal, plain lines elsewhere.

use super::images::without_images;
use super::registry::{HOST, Registry};
use super::said::{Terminal, says, skerry};

/// Each verb that moves layers, what it says while it does, and the image whose layers it must not find.
fn verbs(archive: &str) -> [(String, &'static str, Option<String>); 4] {
    let image = format!("{HOST}/app");
    [
        (format!("import {archive}"), "Importing", Some("busybox".to_owned())),
        (format!("pull {image}"), "Pulling", Some(image.clone())),
        (format!("push {image}"), "Pushing", None),
        (format!("export -o /run/app.tar {image}"), "Exporting", None),
    ]
}

/// The image and its layers go.
fn forget(image: Option<&String>) {
    if let Some(image) = image {
        says(&format!("rmi {image}"));
        says("prune -f");
    }
}

#[test]
fn on_a_terminal_each_layer_has_a_bar_that_is_drawn_again() {
    let (_node, archive) = without_images();
    let _registry = Registry::of("app", &archive);
    for (line, word, image) in verbs(&archive.display().to_string()) {
        let (screen, status) = Terminal::of(&line).end();
        assert_eq!(status, 0, "{line}: {screen}");
        // A bar with what has come, the rate and the time that is left; then it is drawn over.
        let bar =
            screen.find(&format!(" {word} ")).unwrap_or_else(|| panic!("{line}: no {word} in {screen:?}"));
        let drawn = screen[bar..].split('\r').next().unwrap_or_default();
        assert!(drawn.contains(" [") && drawn.contains("/s "), "{line}: {drawn:?} in {screen:?}");
        assert!(screen[bar..].contains('\r') && screen[bar..].contains(" Done"), "{line}: {screen:?}");
        forget(image.as_ref().filter(|_| word == "Importing"));
    }
}

#[test]
fn elsewhere_each_layer_has_a_line_for_what_becomes_of_it() {
    let (_node, archive) = without_images();
    let _registry = Registry::of("app", &archive);
    for (line, word, image) in verbs(&archive.display().to_string()) {
        let said = skerry(&line);
        assert_eq!(said.status, 0, "{line}: {said:?}");
        assert!(!said.err.contains(['\r', '\x1b']), "{line}: {said:?}");
        let lines: Vec<&str> = said.err.lines().collect();
        let [first, second] = lines[..] else { panic!("{line}: {said:?}") };
        let layer = first.strip_suffix(&format!(": {word}")).unwrap_or_else(|| panic!("{line}: {said:?}"));
        assert!(layer.len() == 12 && second == format!("{layer}: Done"), "{line}: {said:?}");
        forget(image.as_ref());
        let quiet = line.replacen(' ', " --quiet ", 1);
        assert_eq!((skerry(&quiet).err.as_str(), says("images -q").lines().count()), ("", 1), "{quiet}");
        forget(image.as_ref().filter(|_| word == "Importing"));
    }
}

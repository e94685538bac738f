//! One plugin, run once: a program that reads JSON, and answers in JSON.

use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use sys::cause::cause;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a plugin may take: a kubelet's `runtimeRequestTimeout`.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a plugin is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `ADD`
    Add,
    /// `DEL`
    Delete,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Delete => "DEL",
        }
    }
}

/// Parameters of a run, section 2 of the specification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// `CNI_COMMAND`
    pub verb: Verb,
    /// `CNI_CONTAINERID`
    pub container: &'a str,
    /// `CNI_NETNS`
    pub namespace: &'a Path,
    /// `CNI_IFNAME`
    pub interface: &'a str,
    /// `CNI_ARGS`
    pub arguments: &'a str,
    /// `CNI_PATH`
    pub programs: &'a Path,
}

/// How a plugin says what went wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    msg: String,
    details: String,
}

impl Call<'_> {
    /// Runs the plugin that `input` is for, and returns its result: null when it says nothing.
    ///
    /// # Errors
    /// What it says, or that it cannot be run, in the words of other runtimes.
    pub async fn run(&self, input: &Value) -> Result<Value, String> {
        let kind = input["type"].as_str().unwrap_or_default();
        let program = self.programs.join(kind);
        if !program.is_file() {
            return Err(format!("failed to find plugin {kind:?} in path [{}]", self.programs.display()));
        }
        let failed = |reason: String| {
            format!("plugin type={kind:?} failed ({}): {reason}", self.verb.word().to_lowercase())
        };
        let output = timeout(PATIENCE, self.output(&program, input)).await;
        let output = output.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        output.and_then(|output| answer(&output)).map_err(failed)
    }

    async fn output(&self, program: &Path, input: &Value) -> Result<Output, String> {
        let mut command = Command::new(program);
        command
            .env("CNI_COMMAND", self.verb.word())
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_NETNS", self.namespace)
            .env("CNI_IFNAME", self.interface)
            .env("CNI_ARGS", self.arguments)
            .env("CNI_PATH", self.programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("start it: {}", cause(&error)))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read says why.
            let _ = stdin.write_all(&serde_json::to_vec(input).unwrap_or_default()).await;
        }
        child.wait_with_output().await.map_err(|error| cause(&error))
    }
}

fn answer(output: &Output) -> Result<Value, String> {
    if output.status.success() {
        let text = output.stdout.trim_ascii();
        return match text {
            [] => Ok(Value::Null),
            _ => serde_json::from_slice(text).map_err(|error| format!("read its result: {error}")),
        };
    }
    let Refusal { msg, details } = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let log = String::from_utf8_lossy(&output.stderr);
    Err(match (&*msg, &*details) {
        ("", "") => format!("{}: {}", output.status, log.lines().last().unwrap_or("it says nothing")),
        (msg, "") => msg.to_owned(),
        (msg, details) => format!("{msg}; {details}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    /// Runs a script as a plugin.
    async fn run(name: &str, script: &str) -> Result<Value, String> {
        let folder = std::env::temp_dir().join(format!("skerry-plugin-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("own");
        // Another writes it: what a test beside this one starts meanwhile would have it open, and it could not be run.
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(&program).stdin(Stdio::piped());
        let mut install = install.spawn().unwrap();
        let text = format!("#!/bin/sh\n{script}\n");
        install.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        assert!(install.wait().await.unwrap().success());
        let call = Call {
            verb: Verb::Add,
            container: "c1",
            namespace: Path::new("/run/n"),
            interface: "eth0",
            arguments: "A=1",
            programs: &folder,
        };
        let result = call.run(&json!({ "type": "own", "x": 1 })).await;
        let gone = call.run(&json!({ "type": "other" })).await.unwrap_err();
        assert!(gone.starts_with("failed to find plugin \"other\" in path ["), "{gone}");
        fs::remove_dir_all(&folder).unwrap();
        result
    }

    #[tokio::test]
    async fn a_plugin_reads_its_parameters_and_answers() {
        let script = r#"printf '{"all":"%s","read":%s}' "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS" "$(cat)""#;
        let answer = run("reads", script).await.unwrap();
        assert_eq!(answer, json!({ "all": "ADD c1 /run/n eth0 A=1", "read": { "type": "own", "x": 1 } }));
        assert_eq!(run("silent", "cat >/dev/null").await.unwrap(), Value::Null);
    }

    #[tokio::test]
    async fn what_a_plugin_says_is_told() {
        for (name, script, words) in [
            ("says", r#"echo '{"code":11,"msg":"try again","details":"later"}'; exit 1"#, "try again; later"),
            ("short", r#"echo '{"code":7,"msg":"no"}'; exit 1"#, "no"),
            ("log", "echo first >&2; echo last >&2; exit 3", "exit status: 3: last"),
            ("nothing", "exit 3", "exit status: 3: it says nothing"),
            ("nonsense", "echo nonsense", "read its result: expected ident at line 1 column 2"),
        ] {
            let refused = run(name, script).await.unwrap_err();
            assert_eq!(refused, format!("plugin type=\"own\" failed (add): {words}"));
        }
    }
}

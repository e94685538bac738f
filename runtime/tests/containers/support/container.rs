//! A container that was created.

use super::command::{Ran, Running, finish, runtime};
use super::{eventually, read};
use serde_json::Value;
use std::process::Command;

/// It ends with the test's place.
pub struct Container {
    pub id: String,
    /// Process ID in the test's place.
    pub pid: i64,
    creator: Running,
}

impl Container {
    pub(super) fn new(id: &str, creator: Running) -> Self {
        let mut container = Self { id: id.to_owned(), pid: 0, creator };
        container.pid = container.state()["pid"].as_i64().unwrap();
        container
    }

    #[track_caller]
    fn verb(&self, verb: &str, options: &[&str]) -> Ran {
        finish(self.command(verb, options))
    }

    /// A verb about it, with options before its name.
    pub fn command(&self, verb: &str, options: &[&str]) -> Command {
        let mut command = runtime([verb]);
        command.args(options).arg(&self.id);
        command
    }

    #[track_caller]
    pub fn start(&self) -> Ran {
        self.verb("start", &[])
    }

    #[track_caller]
    pub fn delete(&self) -> Ran {
        self.verb("delete", &[])
    }

    #[track_caller]
    pub fn delete_force(&self) -> Ran {
        self.verb("delete", &["--force"])
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) -> Ran {
        let mut command = self.command("kill", &[]);
        command.arg(signal);
        finish(command)
    }

    /// What `state` prints.
    #[track_caller]
    pub fn state(&self) -> Value {
        let text = self.verb("state", &[]).ok().stdout;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Waits until its program has ended.
    #[track_caller]
    pub fn wait(&self) {
        eventually("stopped", || self.status() == "stopped");
    }

    /// What its program said until now.
    pub fn stdout(&self) -> String {
        read(&self.creator.stdout)
    }

    /// Waits until its program has said this.
    #[track_caller]
    pub fn says(&self, words: &str) {
        eventually(words, || self.stdout().contains(words));
    }

    /// A program more in it.
    #[track_caller]
    pub fn exec<const N: usize>(&self, args: [&str; N]) -> Ran {
        self.exec_with(&[], args)
    }

    /// With options of the command line.
    #[track_caller]
    pub fn exec_with<const N: usize>(&self, options: &[&str], args: [&str; N]) -> Ran {
        let mut command = self.command("exec", options);
        command.args(args);
        finish(command)
    }

    /// A line of shell in it; what it says.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        self.exec(["sh", "-c", script]).ok().stdout
    }

    /// Where its first process's files of proc(5) are.
    pub fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.pid)
    }
}

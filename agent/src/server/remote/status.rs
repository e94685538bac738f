//! What a client is told at the end: a `Status` of the API on the error stream, from version 4 of
//! the protocol on; before it, words when something went wrong.

use serde_json::json;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The program has ended with this; 0 is well.
    Exited(u8),
    /// What could not be done, in words.
    Failed(String),
}

impl End {
    /// The text for the error stream; `structured` from version 4 on.
    #[must_use]
    pub fn text(&self, structured: bool) -> String {
        let status = match self {
            Self::Exited(0) if !structured => return String::new(),
            Self::Exited(code) if !structured => {
                return format!("command terminated with non-zero exit code: exit status {code}");
            }
            Self::Failed(message) if !structured => return message.clone(),
            Self::Exited(0) => json!({ "metadata": {}, "status": "Success" }),
            Self::Exited(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with non-zero exit code: exit status {code}"),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Self::Failed(message) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {message}"),
                "reason": "InternalError",
                "details": { "causes": [{ "message": message }] },
                "code": 500,
            }),
        };
        status.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_what_a_client_looks_for() {
        let status: serde_json::Value = serde_json::from_str(&End::Exited(7).text(true)).unwrap();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({ "reason": "ExitCode", "message": "7" }));
        assert_eq!(End::Exited(0).text(true), r#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(End::Exited(0).text(false), "");
        let words = "command terminated with non-zero exit code: exit status 7";
        assert_eq!(End::Exited(7).text(false), words);
    }
}

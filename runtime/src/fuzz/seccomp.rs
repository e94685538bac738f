//! A seccomp profile to a program.

use crate::seccomp::check;
use spec::bundle::Seccomp;

/// The program does what its profile says; one that cannot be is refused by its path.
pub fn seccomp(text: &[u8]) {
    let Ok(profile) = serde_json::from_slice::<Seccomp>(text) else { return };
    match crate::seccomp::compile(&profile) {
        Ok(program) => {
            assert_eq!(crate::seccomp::compile(&profile), Ok(program));
            check::compare(&profile);
        }
        Err(error) => assert!(error.0.starts_with("linux.seccomp"), "{error}"),
    }
}

//! What holds for every input, whatever it is. [`crate::fuzz`] has one function a fuzz target:
//! it takes bytes and panics when something does not hold.
//!
//! `runtime/fuzz` hands them to libFuzzer, `make fuzz`. It is a package of its own, outside the
//! workspace, so that neither libFuzzer nor the C++ compiler that it takes is needed for
//! `make check`. The tests here go through the inputs that were kept, `runtime/fuzz/corpus`, one
//! a line.

mod config;
mod mount_options;
mod seccomp;

pub use config::config;
pub use mount_options::mount_options;
pub use seccomp::seccomp;

#[cfg(test)]
mod tests {
    use std::fs;

    fn replay(name: &str, target: fn(&[u8])) {
        let path = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let inputs = fs::read(path).unwrap();
        let inputs: Vec<&[u8]> =
            inputs.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert!(inputs.len() > 10, "{name} has {} inputs", inputs.len());
        inputs.into_iter().for_each(target);
    }

    #[test]
    fn config() {
        replay("config", super::config);
    }

    #[test]
    fn seccomp() {
        replay("seccomp", super::seccomp);
    }

    #[test]
    fn mount_options() {
        replay("mount_options", super::mount_options);
    }
}

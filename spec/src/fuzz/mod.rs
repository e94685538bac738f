//! What holds for every input, whatever it is: one function a fuzz target takes bytes and panics when
//! something does not hold.
//!
//! `spec/fuzz` hands them to libFuzzer, `make fuzz`; see `runtime/src/fuzz`, which is the same for
//! the runtime. The test here goes through the inputs that were kept, `spec/fuzz/corpus`, one a line.

mod node_toml;
mod protocol;

pub use node_toml::node_toml;
pub use protocol::protocol;

#[cfg(test)]
mod tests {
    use std::fs;

    fn replay(name: &str, target: fn(&[u8])) {
        let text = fs::read(format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let inputs: Vec<&[u8]> = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert!(inputs.len() > 10, "{name} has {} inputs", inputs.len());
        inputs.into_iter().for_each(target);
    }

    #[test]
    fn node_toml() {
        replay("node_toml", super::node_toml);
    }

    #[test]
    fn protocol() {
        replay("protocol", super::protocol);
    }
}

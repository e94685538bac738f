//! What holds for every input, whatever it is: one function a fuzz target takes bytes and panics when
//! something does not hold.
//!
//! `store/fuzz` hands them to libFuzzer, `make fuzz`; see `runtime/src/fuzz`, which is the same for
//! the runtime. The tests here go through the inputs that were kept, `store/fuzz/corpus`: a line each,
//! of `layer` in base64. What `layer` writes is also mounted, `kernel`.

#[cfg(test)]
pub(crate) mod kernel;
mod layer;
mod manifest;
mod model;
mod reference;

pub use layer::layer;
pub use manifest::manifest;
pub use reference::reference;

#[cfg(test)]
mod tests {
    use base64::prelude::*;
    use std::fs;

    pub(super) fn inputs(name: &str) -> Vec<Vec<u8>> {
        let text = fs::read(format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let inputs: Vec<_> = lines.map(<[u8]>::to_vec).collect();
        assert!(inputs.len() > 10, "{name} has {} inputs", inputs.len());
        inputs
    }

    #[test]
    fn layer() {
        for input in inputs("layer") {
            super::layer(&BASE64_STANDARD.decode(input).unwrap());
        }
    }

    #[test]
    fn manifest() {
        inputs("manifest").iter().for_each(|input| super::manifest(input));
    }

    #[test]
    fn reference() {
        inputs("reference").iter().for_each(|input| super::reference(input));
    }
}

//! `make fuzz TARGET=node_toml`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| spec::fuzz::node_toml(bytes));

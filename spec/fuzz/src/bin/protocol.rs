//! `make fuzz TARGET=protocol`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| spec::fuzz::protocol(bytes));

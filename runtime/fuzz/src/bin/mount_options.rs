//! `make fuzz TARGET=mount_options`
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| runtime::fuzz::mount_options(text));

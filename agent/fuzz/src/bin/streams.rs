//! `make fuzz TARGET=streams`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agent::fuzz::streams(bytes));

//! `make fuzz TARGET=packets`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| network::fuzz::packets(bytes));

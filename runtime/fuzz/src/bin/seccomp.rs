//! `make fuzz TARGET=seccomp`
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| runtime::fuzz::seccomp(text));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    runtime_fuzz::mutate(data, size, max_size, seed)
});

//! `make fuzz TARGET=seccomp`
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| runtime_fuzz::seccomp(text));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 8 == 0 { None } else { runtime_fuzz::mutate_json(&data[..size], seed) };
    match changed {
        Some(text) if text.len() <= max_size => {
            data[..text.len()].copy_from_slice(&text);
            text.len()
        }
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
});

//! The first function of a program that does without the standard library's
//! start: no handler for stack overflows, which costs 130 KB and a walk through
//! `/proc/self/maps`. What it leaves out beside: standard descriptors that are
//! closed stay closed, and `SIGPIPE` keeps its default.

/// Makes `fn() -> ()` the program's `main`. The crate says `#![no_main]` first.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        // SAFETY: the one symbol of this name in a program without a `main` of
        // Rust's; the C library calls it with these arguments (std reads them itself).
        #[unsafe(no_mangle)]
        #[allow(unsafe_code)]
        extern "C" fn main(_count: i32, _arguments: *const *const u8) -> i32 {
            $run();
            0
        }
    };
}

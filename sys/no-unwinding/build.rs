//! The build script of every program that a node carries. The released one aborts when it panics,
//! so it is linked without the tables for unwinding; functions of the same code are there once.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../sys/no-unwinding/no-unwinding.ld");
    println!("cargo::rerun-if-changed={script}");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,--icf=all,-T,{script}");
    }
}

//! Links the released program, which aborts when it panics, without the tables for unwinding.

fn main() {
    println!("cargo::rerun-if-changed=no-unwinding.ld");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let folder = env!("CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/no-unwinding.ld");
    }
}

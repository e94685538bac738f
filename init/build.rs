//! The release program without tables for unwinding, which a panic does not do there.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,--icf=all,-T,{folder}/link.ld");
    }
}

//! The program `skerry-runtime`.

#![no_main]

sys::entry!(runtime::run);

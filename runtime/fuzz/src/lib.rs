//! What the fuzz targets have in common: inputs that are JSON stay JSON when they are changed.

mod mutate;

pub use mutate::mutate;

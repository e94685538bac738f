//! What the user sees of a build: a line a step, with its time.

use std::io::Write;
use std::time::Instant;

/// Prints a line for each step that ends.
pub struct Progress(Instant);

impl Progress {
    /// Begins the first step.
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Ends a step and begins the next.
    pub fn step(&mut self, name: &str, detail: &str) {
        print(&format!("{name:<10} {:>6.2} s  {detail}\n", self.0.elapsed().as_secs_f64()));
        self.0 = Instant::now();
    }

    /// Tells what the user should know, in the middle of a step.
    pub fn say(words: &str) {
        print(&format!("{:<10} {words}\n", "note"));
    }
}

/// Writes to standard output; whether anybody still reads there is no matter to a build.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// A length in bytes, for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [size(0), size(10_239), size(10_240), size(11_655_104)],
            ["0 B", "10239 B", "10 KiB", "11.1 MiB"]
        );
    }
}

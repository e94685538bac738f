//! Lengths of time as Go writes them, and with it all words of kubelets: `250ms`, `1.5s`, `1m20s`.

use std::time::Duration;

/// A length of time in whole milliseconds.
#[must_use]
pub fn words(time: Duration) -> String {
    let millis = time.as_millis();
    let seconds = (millis % 60_000) as f64 / 1000.0;
    match (millis / 3_600_000, millis / 60_000 % 60) {
        (0, 0) if (1..1000).contains(&millis) => format!("{millis}ms"),
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        let of = |millis| words(Duration::from_millis(millis));
        assert_eq!([0, 250, 1000, 1230].map(of), ["0s", "250ms", "1s", "1.23s"]);
        assert_eq!([80_000, 60_500, 3_600_000].map(of), ["1m20s", "1m0.5s", "1h0m0s"]);
    }
}

//! Quantities as the API writes them: `500m`, `1.5`, `64Mi`, `1e3` (apimachinery's resource.Quantity).

/// Thousandths of what a quantity says, rounded up; none when it is no quantity.
pub fn millis(text: &str) -> Option<i128> {
    let text = text.trim();
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (multiplier, divisor): (i128, i128) = match suffix {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1000 * 1000, 1),
        "M" => (1000 * 1000_i128.pow(2), 1),
        "G" => (1000 * 1000_i128.pow(3), 1),
        "T" => (1000 * 1000_i128.pow(4), 1),
        "P" => (1000 * 1000_i128.pow(5), 1),
        "E" => (1000 * 1000_i128.pow(6), 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            match power {
                0..=18 => (1000 * 10_i128.pow(power.unsigned_abs()), 1),
                -18..0 => (1000, 10_i128.pow(power.unsigned_abs())),
                _ => return None,
            }
        }
    };
    let (mantissa, digits) = decimal(number)?;
    let scale = 10_i128.checked_pow(digits)?.checked_mul(divisor)?;
    let whole = mantissa.checked_mul(multiplier)?;
    Some(whole.div_euclid(scale) + i128::from(whole.rem_euclid(scale) != 0))
}

/// Units of what a quantity says, rounded up: bytes of memory, say.
pub fn units(text: &str) -> Option<i128> {
    millis(text).map(|millis| millis.div_euclid(1000) + i128::from(millis.rem_euclid(1000) != 0))
}

/// Thousandths of a processor as the API writes them.
pub fn of_cpu(millicpu: u64) -> String {
    if millicpu.is_multiple_of(1000) { (millicpu / 1000).to_string() } else { format!("{millicpu}m") }
}

/// Bytes as the API writes them, with the greatest binary suffix that leaves a whole number.
pub fn of_memory(bytes: u64) -> String {
    let suffixes = [(1_u64 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let fits = suffixes.iter().find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(unit, suffix)| format!("{}{suffix}", bytes / unit))
}

/// A number without its point, and how many digits stood behind that.
fn decimal(text: &str) -> Option<(i128, u32)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.contains(['+', '-']) || part.len() > 18 || whole.len() + part.len() > 30 || text.len() > 31 {
        return None;
    }
    let joined = format!("{whole}{part}");
    joined.parse().ok().map(|number| (number, part.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_the_api_means_them() {
        let table = [
            ("1", 1000),
            ("500m", 500),
            ("1.5", 1500),
            ("64Mi", 64 * 1024 * 1024 * 1000),
            ("1e3", 1_000_000),
            ("1E-1", 100),
            ("2k", 2_000_000),
            ("1n", 1),
            ("1500u", 2),
            ("0", 0),
            (".5", 500),
            ("0.1Ki", 102_400),
            ("-1", -1000),
        ];
        for (text, millis) in table {
            assert_eq!(super::millis(text), Some(millis), "{text}");
        }
        for text in ["", "m", "1x", "1.2.3", "--1", "1e99", "1.-5"] {
            assert_eq!(super::millis(text), None, "{text}");
        }
        assert_eq!((units("1500m"), units("1Ki")), (Some(2), Some(1024)));
    }

    #[test]
    fn quantities_are_written_as_the_api_does() {
        assert_eq!([0, 10, 1000, 1500].map(of_cpu), ["0", "10m", "1", "1500m"]);
        let bytes = [0, 1000, 1 << 10, 3 << 20, (1 << 30) + (1 << 20), 5 << 40];
        assert_eq!(bytes.map(of_memory), ["0", "1000", "1Ki", "3Mi", "1025Mi", "5Ti"]);
    }
}

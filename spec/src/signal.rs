//! Signals by name (signal(7), x86).

/// The names of 1 to 31, without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// First and last real-time signal as glibc and musl number them.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Reads `SIGTERM`, `term`, `15`, `SIGRTMIN+3` or `RTMAX-1`.
///
/// # Errors
/// What is no signal.
pub fn number(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_number = || text.parse().ok().filter(|number| (1..=64).contains(number));
    let by_name = || NAMES.iter().position(|known| *known == name).map(|place| place as i32 + 1);
    by_number()
        .or_else(by_name)
        .or_else(|| real_time(name))
        .ok_or_else(|| format!("{text:?} is not a signal"))
}

fn real_time(name: &str) -> Option<i32> {
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => rest.strip_prefix(sign)?.parse::<i32>().ok().filter(|offset| (0..64).contains(offset)),
    };
    let number = match name.strip_prefix("RTMIN") {
        Some(rest) => REAL_TIME.start() + offset(rest, '+')?,
        None => REAL_TIME.end() - offset(name.strip_prefix("RTMAX")?, '-')?,
    };
    Some(number).filter(|number| REAL_TIME.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, expected) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sigint", 2),
            ("SYS", 31),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
        ] {
            assert_eq!(number(text), Ok(expected), "{text}");
        }
        for text in ["", "SIG", "FLY", "0", "65", "-1", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+99999999999"]
        {
            assert_eq!(number(text), Err(format!("{text:?} is not a signal")));
        }
    }
}

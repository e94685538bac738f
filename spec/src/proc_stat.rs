//! `/proc/PID/stat`, proc_pid_stat(5), as far as it tells processes apart.

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `Z` for a zombie, and so on.
    pub state: char,
    /// When it was started, in clock ticks after boot: with its ID, a process's identity.
    pub start_time: u64,
}

impl Stat {
    /// Reads the file's text. The second field is a name in parentheses that may itself hold
    /// parentheses and blanks, so fields are counted from the last one.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, behind) = text.rsplit_once(") ")?;
        let mut fields = behind.split(' ');
        let state = fields.next()?.chars().next()?;
        // Field 22; the state is field 3.
        let start_time = fields.nth(22 - 4)?.trim_end().parse().ok()?;
        Some(Self { state, start_time })
    }

    /// It has ended and was not reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8421 9 10\n";
        assert_eq!(Stat::parse(text), Some(Stat { state: 'S', start_time: 8421 }));
        assert_eq!(Stat::parse("7 (a"), None);
        assert_eq!(Stat::parse("71 (short) S 1"), None);
    }
}

//! Which way QEMU runs the guest's instructions.

use std::fs::{self, File};
use std::time::Duration;

/// How the guest's instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor itself.
    Kvm,
    /// Translated by QEMU; works everywhere, some twenty times slower.
    Tcg,
}

impl Accelerator {
    /// KVM where it is usable here, else TCG.
    ///
    /// An openable `/dev/kvm` is not enough: inside a VM without nested
    /// virtualisation the device can exist, and a guest then hangs at full load.
    /// The processor flags tell the truth.
    pub fn detect() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let opens = File::options().read(true).write(true).open("/dev/kvm").is_ok();
        Self::choose(&cpuinfo, opens)
    }

    fn choose(cpuinfo: &str, kvm_opens: bool) -> Self {
        let virtualises = cpuinfo
            .lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"));
        if virtualises && kvm_opens { Self::Kvm } else { Self::Tcg }
    }

    /// How long to wait for something that a guest does within seconds.
    pub fn patience(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(60),
            Self::Tcg => Duration::from_secs(300),
        }
    }

    pub(crate) fn arguments(self, one_thread: bool) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg if one_thread => ["-accel", "tcg,thread=single", "-cpu", "max"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "max"],
        }
    }
}

/// How fast this machine's time stamp counter is, which an emulated guest sees too.
pub(crate) fn counter_khz() -> Option<u64> {
    counter_khz_in(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// The counter runs at the processor's nominal speed, which its name tells where it does;
/// `cpu MHz` may be what it runs at just now.
fn counter_khz_in(cpuinfo: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let nominal = value("model name")
        .and_then(|name| name.rsplit_once("@ ")?.1.strip_suffix("GHz")?.parse::<f64>().ok());
    let now = || value("cpu MHz").and_then(|speed| speed.parse::<f64>().ok()).map(|speed| speed / 1000.0);
    let gigahertz = nominal.or_else(now).filter(|speed| (0.1..10.0).contains(speed))?;
    Some((gigahertz * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_speed_is_the_nominal_one_where_it_is_told() {
        let cpuinfo = "model name\t: A Xeon @ 2.90GHz\ncpu MHz\t\t: 800.012\n";
        assert_eq!(counter_khz_in(cpuinfo), Some(2_900_000));
        assert_eq!(counter_khz_in("model name\t: AMD EPYC\ncpu MHz\t\t: 2600.000\n"), Some(2_600_000));
        assert_eq!((counter_khz_in(""), counter_khz_in("cpu MHz : 0.000\n")), (None, None));
    }

    #[test]
    fn kvm_needs_both_the_processor_flag_and_the_device() {
        let with = "model name : vmx lookalike\nflags : fpu vmx sse\n";
        let without = "model name : vmx lookalike\nflags : fpu sse\n";
        assert_eq!(Accelerator::choose(with, true), Accelerator::Kvm);
        assert_eq!(Accelerator::choose(with, false), Accelerator::Tcg);
        assert_eq!(Accelerator::choose(without, true), Accelerator::Tcg);
        assert_eq!(Accelerator::choose("flags : svm\n", true), Accelerator::Kvm);
    }
}

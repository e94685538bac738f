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
            Self::Tcg => Duration::from_secs(180),
        }
    }

    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "max"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

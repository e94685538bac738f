//! The hardware watchdog, pinged from the event loop itself: a loop that stands
//! still resets the machine.

use crate::console::now;
use crate::error::{Context, Result};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

const DEVICE: &str = "/dev/watchdog";
/// How long a reboot may take, the firmware's part included.
const REBOOT: u32 = 600;

/// An armed watchdog.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    period: Duration,
    due: Duration,
}

impl Watchdog {
    /// Arms it, when the machine has one and `timeout` is not zero.
    pub fn arm(timeout: Duration) -> Result<Option<Self>> {
        if timeout.is_zero() {
            return Ok(None);
        }
        let device = match OpenOptions::new().write(true).open(DEVICE) {
            Ok(device) => device,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => return Ok(None),
            // A node without a device behind it: the driver is there, the hardware is not.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => return Ok(None),
            Err(error) => return Err(error).context(|| format!("open {DEVICE}")),
        };
        let seconds = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1);
        // A driver with a fixed time keeps it; then the pings must be frequent.
        let seconds = sys::watchdog::set_timeout(device.as_fd(), seconds).unwrap_or(seconds.min(10));
        let period = Duration::from_secs(seconds.into()) / 3;
        status!("watchdog: the machine resets when PID 1 stands still for {seconds} s");
        Ok(Some(Self { device, period, due: now() + period }))
    }

    /// When the next ping is due.
    pub fn deadline(&self) -> Duration {
        self.due
    }

    /// Pings if it is due.
    pub fn tick(&mut self) {
        if now() >= self.due {
            self.ping();
        }
    }

    fn ping(&mut self) {
        let _ = self.device.write_all(b"\0");
        self.due = now() + self.period;
    }

    /// From now on it resets a machine that hangs on its way to the next boot. One that cannot wait so
    /// long might reset the firmware again and again: that is said by `false`.
    pub fn outlast_reboot(&mut self) -> bool {
        let waits =
            sys::watchdog::set_timeout(self.device.as_fd(), REBOOT).is_ok_and(|seconds| seconds >= REBOOT);
        self.ping();
        waits
    }

    /// Disarms it (the "magic close" of the watchdog API).
    pub fn disarm(mut self) {
        let _ = self.device.write_all(b"V");
    }
}

//! The smallest machine that boots: a bare `/init`, and a node with one container.

use super::Kernel;
use crate::machine::PATIENCE;
use crate::measurement::{Measurement, Table, Unit};
use ::tests::{Board, Failure, Image, Node, Result};
use qemu::Machine;
use std::path::Path;

/// The bar of a node with a container, in MiB.
const MOST: u32 = 56;

/// No machine is tried with less, in MiB; one with `GREATEST` boots.
const SMALLEST: u32 = 16;
const GREATEST: u32 = 128;

/// Halves until one MiB decides.
pub fn measure(kernels: &[Kernel], initramfs: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for kernel in kernels {
        let least = least(|memory| bare(kernel, initramfs, memory))?;
        rows.push(row(format!("bare init, {}", kernel.name), least));
    }
    for kernel in kernels {
        let image = Image::empty().container("busybox").with(CONTAINER, "");
        let image =
            if kernel.name.starts_with("packaged") { image } else { image.kernel(kernel.file.clone()) };
        let row = row(format!("node and container, {}", kernel.name), least(|memory| node(&image, memory))?);
        rows.push(if kernel.pvh { row.within("the bar", u64::from(MOST) << 20) } else { row });
    }
    Ok(Table { name: "kernel-least", title: "The smallest microvm that boots", rows })
}

const CONTAINER: &str = "[containers.one]\nimage = \"busybox\"\nconsole = true\n\
                         args = [\"sh\", \"-c\", \"echo container runs; exec sleep 1000000\"]\n";

fn row(name: String, memory: u32) -> Measurement {
    Measurement::new(name, Unit::Size, u64::from(memory) << 20)
}

fn least(boots: impl Fn(u32) -> Result<bool>) -> Result<u32> {
    let (mut too_small, mut enough) = (SMALLEST, GREATEST);
    if !boots(enough)? {
        return Err(Failure::new(format!("a machine of {enough} MiB does not boot")));
    }
    while enough - too_small > 1 {
        let middle = (too_small + enough) / 2;
        match boots(middle)? {
            true => enough = middle,
            false => too_small = middle,
        }
    }
    Ok(enough)
}

/// A panic resets the machine, which ends it; so does what the firmware says to too little memory.
fn bare(kernel: &Kernel, initramfs: &Path, memory: u32) -> Result<bool> {
    let machine = Machine::microvm().memory(memory).counted().ends_at_reset().patience(PATIENCE / 10);
    let words = format!("{} panic=-1", crate::machine::WORDS);
    let vm = machine.kernel(&kernel.file, initramfs, &words).start()?;
    Ok(vm.console().says("first: "))
}

/// Where something had to be killed for want of memory, the node does not count as booted.
fn node(image: &Image, memory: u32) -> Result<bool> {
    let node = Node::new().image(image.clone()).board(Board::Microvm).memory(memory).ends_at_reset();
    let node = node.append("panic=-1 sysctl.vm.panic_on_oom=1").boot()?;
    Ok(node.console().says("container runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_found_to_the_mib() {
        assert_eq!(least(|memory| Ok(memory >= 41)).unwrap(), 41);
        assert_eq!(least(|_| Ok(true)).unwrap(), SMALLEST + 1);
        assert!(least(|_| Ok(false)).is_err());
    }
}

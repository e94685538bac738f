//! Docker's rules for a container without more devices than usual, then those that
//! runc adds to every container's.

use super::super::devices::program;
use super::devices::{request, rule};
use super::machine::run;
use spec::bundle::DeviceRule;

/// In the order in which they are applied.
const RULES: &str = "-a *:* rwm; +c 1:5 rwm; +c 1:3 rwm; +c 1:9 rwm; +c 1:8 rwm; +c 5:0 rwm; +c 5:1 rwm; \
                     -c 10:229 rwm; +c *:* m; +b *:* m; +c 1:7 rwm; +c 136:* rwm; +c 5:2 rwm";

#[test]
fn the_default_rules_do_what_they_say() {
    let rules: Vec<DeviceRule> = RULES.split("; ").map(rule).collect();
    let program = program(&rules).unwrap().unwrap();
    let table = [
        ("/dev/null", "c 1:3 rwm", true),
        ("/dev/zero", "c 1:5 rw", true),
        ("/dev/full", "c 1:7 w", true),
        ("/dev/random", "c 1:8 r", true),
        ("/dev/urandom", "c 1:9 r", true),
        ("/dev/tty", "c 5:0 rw", true),
        ("/dev/console", "c 5:1 rw", true),
        ("/dev/ptmx", "c 5:2 rw", true),
        ("/dev/pts/7", "c 136:7 rw", true),
        ("/dev/mem", "c 1:1 r", false),
        ("/dev/kmsg", "c 1:11 w", false),
        ("/dev/fuse", "c 10:229 rw", false),
        ("mknod /dev/fuse", "c 10:229 m", true),
        ("mknod and open of /dev/fuse", "c 10:229 rm", false),
        ("/dev/kvm", "c 10:232 rw", false),
        ("/dev/sda", "b 8:0 r", false),
        ("mknod /dev/sda", "b 8:0 m", true),
        ("a disk with the numbers of /dev/null", "b 1:3 r", false),
    ];
    for (name, wanted, allowed) in table {
        assert_eq!(run(&program, request(wanted)), allowed, "{name}: {wanted}");
    }
    assert!(program.len() <= 100, "{} instructions", program.len());
}

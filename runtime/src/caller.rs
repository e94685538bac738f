//! What rights the caller has.

use std::fs;

/// Whether it is without the host root's: a user, or root of a user namespace
/// (user_namespaces(7)).
pub fn is_rootless() -> bool {
    !nix::unistd::geteuid().is_root()
        || !has_all_users(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default())
}

/// The first user namespace has every ID. A kernel without any has no such file.
fn has_all_users(map: &str) -> bool {
    map.is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hosts_root_has_all_users() {
        assert!(super::has_all_users("         0          0 4294967295\n") && super::has_all_users(""));
        assert!(!super::has_all_users(
            "         0       1000          1\n         1     100000      65536\n"
        ));
    }
}

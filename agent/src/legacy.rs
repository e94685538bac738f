//! Addresses as older API servers have let them pass, and newer ones leave them in objects that are there: with leading
//! zeros, which count nothing, and IPv4 in IPv6's clothes, which is IPv4 (`ParseIPSloppy` of `k8s.io/utils/net`;
//! <https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/>, `StrictIPCIDRValidation`).

use spec::node::Cidr;
use std::net::IpAddr;

/// An address; nothing when it is none.
pub fn address(text: &str) -> Option<IpAddr> {
    let (front, last) = text.rsplit_once(':').map_or(("", text), |(front, last)| (front, last));
    let bare = |number: &str| match number.trim_start_matches('0') {
        "" if !number.is_empty() => "0".to_owned(),
        left => left.to_owned(),
    };
    let text = match last.contains('.') {
        true => {
            let numbers: Vec<String> = last.split('.').map(bare).collect();
            let colon = if text.contains(':') { ":" } else { "" };
            format!("{front}{colon}{}", numbers.join("."))
        }
        false => text.to_owned(),
    };
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A subnet; nothing when it is none.
pub fn cidr(text: &str) -> Option<Cidr> {
    let (base, prefix) = text.trim().split_once('/')?;
    let (whole, prefix) = (address(base)?, prefix.parse::<u8>().ok()?);
    let is_mapped = whole.is_ipv4() && base.contains(':');
    let prefix = if is_mapped { prefix.checked_sub(96)? } else { prefix };
    let longest = if whole.is_ipv4() { 32 } else { 128 };
    (prefix <= longest).then_some(Cidr { address: whole, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_count_nothing_and_what_is_mapped_is_ipv4() {
        for (text, read) in [
            ("10.1.0.2", Some("10.1.0.2")),
            ("010.001.000.02", Some("10.1.0.2")),
            ("::ffff:10.1.0.2", Some("10.1.0.2")),
            ("::ffff:010.1.0.2", Some("10.1.0.2")),
            ("fd00::10.1.0.2", Some("fd00::a01:2")),
            ("fd00:0::00a", Some("fd00::a")),
            ("10.1.0", None),
            ("10.1.0.", None),
            ("10.1.0.256", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(address(text), read.map(|read| read.parse().unwrap()), "{text}");
        }
        for (text, read) in [
            (" 010.1.0.0/16 ", Some("10.1.0.0/16")),
            ("10.001.2.0/24", Some("10.1.2.0/24")),
            ("::ffff:10.1.0.0/112", Some("10.1.0.0/16")),
            ("::ffff:0:0/95", None),
            ("fd00::/64", Some("fd00::/64")),
            ("::/0", Some("::/0")),
            ("10.1.0.0/33", None),
            ("10.1.0.0", None),
        ] {
            assert_eq!(cidr(text), read.map(|read| read.parse().unwrap()), "{text}");
        }
    }
}

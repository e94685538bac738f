//! The networks that there are: small files, which `skerry-network` writes and anybody may read.

use crate::error::{Context, Error, Result};
use spec::nearest::nearest;
use spec::network::{DEFAULT_NETWORK, Network};
use spec::node::Cidr;
use spec::paths;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};

/// All of them, by name; the default one also while nothing of it is there yet. A file that cannot be read hides no
/// other, and is told.
pub fn all() -> Result<Vec<Network>> {
    let entries = match fs::read_dir(paths::NETWORKS) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        entries => Some(entries.context(|| format!("read {}", paths::NETWORKS))?),
    };
    let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut networks = Vec::new();
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "json")) {
        match read(&file) {
            Ok(network) => networks.push(network),
            Err(error) => eprintln!("skerry: {error}"),
        }
    }
    if networks.iter().all(|network| &*network.name != DEFAULT_NETWORK) {
        networks.extend(DEFAULT_NETWORK.parse().ok().map(|name| Network {
            name,
            bridge: String::new(),
            subnets: Vec::new(),
            internal: false,
            mtu: None,
            configured: false,
            cluster: None,
            labels: Default::default(),
        }));
    }
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(networks)
}

fn read(file: &Path) -> Result<Network> {
    let doing = || format!("read {}", file.display());
    serde_json::from_slice(&fs::read(file).context(doing)?).context(doing)
}

/// That there is one, whether it can be read or not.
pub fn must_be_there(name: &str) -> Result<()> {
    match fs::exists(Path::new(paths::NETWORKS).join(format!("{name}.json"))) {
        Ok(true) => Ok(()),
        _ => find(name).map(drop),
    }
}

/// One of them; the nearest name is told when there is none.
pub fn find(name: &str) -> Result<Network> {
    let mut all = all()?;
    match all.iter().position(|network| &*network.name == name) {
        Some(position) => Ok(all.swap_remove(position)),
        None => {
            let near = nearest(name, all.iter().map(|network| &*network.name));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Err(Error::missing(format!("network {name:?}: there is none{hint}")))
        }
    }
}

/// Has `skerry-network` do something about networks.
pub fn ask(words: &[String]) -> Result<()> {
    let node = std::path::PathBuf::from("/sbin/skerry-network");
    let program = match std::env::current_exe() {
        Ok(own) if !node.exists() => own.with_file_name("skerry-network"),
        _ => node,
    };
    let mut command = Command::new(&program);
    command.arg("networks").args(words).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output().context(|| format!("run {}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or("skerry-network failed");
    Err(Error::new(line.strip_prefix("skerry-network: ").unwrap_or(line)))
}

/// A subnet's own address and length, from its gateway's.
pub fn subnet(gateway: &Cidr) -> String {
    let prefix = u32::from(gateway.prefix);
    let address: IpAddr = match gateway.address {
        IpAddr::V4(v4) => {
            Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or(0)).into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or(0)).into()
        }
    };
    format!("{address}/{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_its_gateways_without_the_hosts_bits() {
        for (gateway, expected) in
            [("10.210.5.1/22", "10.210.4.0/22"), ("fd00::1/64", "fd00::/64"), ("10.0.0.1/0", "0.0.0.0/0")]
        {
            assert_eq!(subnet(&gateway.parse().unwrap()), expected);
        }
    }
}

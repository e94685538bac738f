//! `system df`: what takes how much of the disk.

use super::list::{self, filters};
use super::volumes::folders;
use super::{Node, images, print_all, volumes};
use crate::arguments::DiskUsage;
use crate::error::{Error, Result};
use crate::format;
use crate::human::decimal;
use serde_json::{Value, json};
use spec::monitor::Summary;
use std::collections::BTreeSet;
use std::path::Path;
use store::{Digest, Store};

const COLUMNS: [(&str, &str); 5] = [
    ("TYPE", "Type"),
    ("TOTAL", "TotalCount"),
    ("ACTIVE", "Active"),
    ("SIZE", "Size"),
    ("RECLAIMABLE", "Reclaimable"),
];

/// Things of one kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Usage {
    total: usize,
    active: usize,
    bytes: u64,
    /// What would be free without those that are not active.
    reclaimable: u64,
}

impl Usage {
    /// One more.
    fn add(&mut self, active: bool, bytes: u64) {
        self.total += 1;
        self.active += usize::from(active);
        self.bytes += bytes;
        self.reclaimable += if active { 0 } else { bytes };
    }

    fn object(&self, kind: &str) -> Value {
        let reclaimable = match self.bytes {
            0 => decimal(0),
            bytes => format!("{} ({}%)", decimal(self.reclaimable), 100 * self.reclaimable / bytes),
        };
        json!({
            "Type": kind,
            "TotalCount": self.total.to_string(),
            "Active": self.active.to_string(),
            "Size": decimal(self.bytes),
            "Reclaimable": reclaimable,
        })
    }
}

/// `skerry system df`
pub fn df(node: &Node<'_>, asked: &DiskUsage) -> Result<()> {
    let all = list::all(node)?;
    let objects = [
        images_of(node, &all)?.object("Images"),
        containers(node, &all)?.object("Containers"),
        volumes_of(&all)?.object("Local Volumes"),
    ];
    print_all(&format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?);
    Ok(())
}

/// Layers that several images have count once; those that came with the node cannot be removed.
fn images_of(node: &Node<'_>, all: &[Summary]) -> Result<Usage> {
    let stores = node.stores();
    let mut here: BTreeSet<Digest> = stores.list()?.into_iter().map(|image| image.digest).collect();
    here.extend(stores.nameless()?);
    let used = images::used(node, all)?;
    let own = Store::open_read_only(node.store).room(&used)?;
    let came = Store::open_read_only(Path::new(spec::paths::IMAGE_STORE)).room(&used)?;
    Ok(Usage {
        total: here.len(),
        active: here.intersection(&used).count(),
        bytes: own.taken + came.taken,
        reclaimable: own.unneeded,
    })
}

fn containers(node: &Node<'_>, all: &[Summary]) -> Result<Usage> {
    let mut usage = Usage::default();
    for one in all {
        let Some((_, written)) = filters::more(node, one)? else { continue };
        usage.add(list::is_alive(&one.status), list::sizes(node, one, &written).0);
    }
    Ok(usage)
}

fn volumes_of(all: &[Summary]) -> Result<Usage> {
    let mut usage = Usage::default();
    for name in volumes::names()? {
        let active = all.iter().any(|one| one.volumes.contains(&name));
        usage.add(active, folders::size(&spec::volume::data(&name)));
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_active_can_be_had_back() {
        let mut usage = Usage::default();
        assert_eq!(usage.object("Containers")["Reclaimable"], "0B");
        usage.add(true, 3000);
        usage.add(false, 1000);
        let told = usage.object("Containers");
        assert_eq!((&told["TotalCount"], &told["Active"]), (&json!("2"), &json!("1")));
        assert_eq!((&told["Size"], &told["Reclaimable"]), (&json!("4kB"), &json!("1kB (25%)")));
    }
}

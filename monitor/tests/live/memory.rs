//! What the monitor costs.

use super::support::{Node, busybox};

/// Memory of the monitor's own, in KiB.
fn anonymous(node: &Node) -> u64 {
    let pid = node.monitor().expect("there is a monitor");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_idle_container_costs_little_memory_and_no_process_of_ours() {
    const COUNT: u64 = 20;
    let node = Node::boot();
    let before = anonymous(&node);
    for number in 0..COUNT {
        let name = format!("idle-{number}");
        node.create(&name, busybox("exec sleep 1000"));
        node.start(&name);
    }
    let each = anonymous(&node).saturating_sub(before) / COUNT;
    assert!(each < 200, "{each} KiB for each container");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let names = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok());
    let mut ours: Vec<String> = names.filter(|name| name.starts_with("skerry-")).collect();
    ours.sort();
    assert_eq!(ours, ["skerry-keeper\n", "skerry-monitor\n", "skerry-network\n"]);
}

//! Kernel modules that an image carries and a node loads by name: a node has no `modprobe` that the kernel could call.

/// What containers' networks are made of.
pub const CONTAINERS: [&str; 10] = [
    "bridge",
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_masq",
    "nft_nat",
    "veth",
];

/// What leading to a cluster's Services takes beside those.
pub const SERVICES: [&str; 3] = ["nf_conntrack_netlink", "nft_numgen", "nft_reject_inet"];

/// What a cluster that brings its own networks or Services asks of the kernel: kube-proxy, Istio and network plugins write
/// their rules by the `iptables` (nft) of their images, which takes extensions of the kernel that `nft` does not, and the
/// plugin `bandwidth` shapes traffic.
pub const FOREIGN: [&str; 33] = [
    "act_mirred",
    "cls_matchall",
    "cls_u32",
    "ifb",
    "ip6t_REJECT",
    "ipt_REJECT",
    "nft_compat",
    "nft_limit",
    "nft_log",
    "nft_redir",
    "sch_htb",
    "sch_ingress",
    "sch_tbf",
    "xt_CT",
    "xt_LOG",
    "xt_MASQUERADE",
    "xt_REDIRECT",
    "xt_TCPMSS",
    "xt_TPROXY",
    "xt_addrtype",
    "xt_comment",
    "xt_connmark",
    "xt_conntrack",
    "xt_limit",
    "xt_mark",
    "xt_multiport",
    "xt_nat",
    "xt_owner",
    "xt_recent",
    "xt_socket",
    "xt_state",
    "xt_statistic",
    "xt_tcpudp",
];

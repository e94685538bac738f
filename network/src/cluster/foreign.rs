//! What a cluster that brings its own networks or Services asks of the kernel: kube-proxy, Istio and network plugins write
//! their rules by the `iptables` of their images, which takes extensions of the kernel that `nft` does not.

use crate::containers::modules;

/// Those of [`modules::load`] beside: `iptables-nft`'s, and what the plugin `bandwidth` shapes with.
const MODULES: [&str; 33] = [
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

/// Has them loaded, before anybody asks: a node has no `modprobe` that the kernel could call.
///
/// # Errors
/// PID 1 is there and cannot be asked.
pub fn load() -> Result<(), String> {
    modules::load()?;
    modules::load_these(&MODULES)
}

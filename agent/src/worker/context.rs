//! What all workers share.

use crate::api::Api;
use crate::events::Events;
use crate::image::Images;
use crate::image::collect::Collector;
use crate::monitor::Monitor;
use crate::node::report::{Own, Standing};
use crate::pod::allocation;
use crate::pod::env::Allocatable;
use crate::pod::names;
use crate::policies::Isolation;
use crate::server::pods as shown;
use crate::server::stats::Stats;
use crate::sources::Sources;
use crate::table::Table;
use k8s_openapi::api::core::v1::Service;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Services by namespace and name.
pub type Services = BTreeMap<(String, String), Arc<Service>>;

/// What all workers share.
pub struct Context {
    /// The API server.
    pub api: Api,
    /// Who the node is.
    pub own: Arc<Own>,
    /// The parent of containers.
    pub monitor: Monitor,
    /// What it runs.
    pub table: Table,
    /// The node's images.
    pub images: Images,
    /// What takes images away.
    pub collector: Collector,
    /// What the rest of the agent says of the node.
    pub standing: watch::Receiver<Standing>,
    /// What pods refer to.
    pub sources: Sources,
    /// What this node's pods have of it.
    pub allocations: allocation::Shared,
    /// Where is told what happens.
    pub events: Events,
    /// Services, by the API server's word; nothing is ever taken as seen here, see [`Context::services`].
    pub services: watch::Receiver<Arc<Services>>,
    /// Network policies of the node's own pods.
    pub isolation: Isolation,
    /// Pods as the server shows them.
    pub shown: Mutex<BTreeMap<String, shown::Pod>>,
    /// The same, as the server reads it.
    pub board: shown::Pods,
    /// What the server measures and counts.
    pub stats: Arc<Stats>,
}

impl Context {
    /// For a node of which nothing is known yet but what these say.
    pub fn new(
        api: Api,
        own: Arc<Own>,
        images: Images,
        standing: watch::Receiver<Standing>,
        events: Events,
        services: watch::Receiver<Arc<Services>>,
    ) -> Arc<Self> {
        let monitor = Monitor::new(spec::paths::MONITOR_SOCKET);
        let stats = Stats::new(&own.name, &own.cluster);
        Arc::new(Self {
            table: Table::new(monitor.clone(), stats.checks.clone()),
            monitor,
            images,
            collector: Collector::default(),
            standing,
            sources: Sources::default(),
            allocations: allocation::Shared::default(),
            events,
            services,
            isolation: Isolation::new(&own),
            shown: Mutex::default(),
            board: shown::Pods::default(),
            stats,
            api,
            own,
        })
    }

    /// The cluster's names.
    pub fn names(&self) -> names::Cluster {
        let cluster = &self.own.cluster;
        let of = |services: Arc<Services>| {
            let dns = services.get(&("kube-system".to_owned(), "kube-dns".to_owned()));
            let spec = dns.and_then(|service| service.spec.as_ref());
            let all = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
            all.iter().filter_map(|own| own.parse().ok()).collect()
        };
        let servers = match cluster.dns.is_empty() {
            true => self.services().map(of),
            false => Some(cluster.dns.clone()),
        };
        names::Cluster { domain: cluster.domain.clone(), servers }
    }

    /// The cluster's Services; none before the API server has told of them once.
    pub fn services(&self) -> Option<Arc<Services>> {
        self.services.has_changed().unwrap_or(true).then(|| self.services.borrow().clone())
    }

    /// What pods may have.
    pub fn allocatable(&self) -> Allocatable {
        use crate::node::object::{allocatable_cpus, allocatable_disk, allocatable_memory};
        let Own { cluster, machine, .. } = &*self.own;
        Allocatable {
            millicpu: allocatable_cpus(cluster, machine),
            memory: allocatable_memory(cluster, machine),
            disk: allocatable_disk(cluster, &crate::node::facts::left()),
            huge_pages: machine.huge_pages,
        }
    }

    /// Shows a pod by this UID, or shows it no more.
    pub(super) fn show(&self, uid: &str, pod: Option<shown::Pod>) {
        let Ok(mut all) = self.shown.lock() else { return };
        match pod {
            Some(pod) => all.insert(uid.to_owned(), pod),
            None => all.remove(uid),
        };
        self.board.replace(all.values().cloned().collect());
    }
}

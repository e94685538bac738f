//! What a container may use, and each of its processes.

use super::{parse, size};
use crate::error::{Error, Result};
use clap::Args;
use spec::node::{Container, Ulimit};
use spec::quantity::Bytes;

#[derive(Clone, Debug, Default, Args)]
pub struct Resources {
    /// Most memory: 64m, 1g
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Most memory and swap together, twice the memory without; -1: as much swap as there is
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    memory_swap: Option<String>,
    /// Memory that is reclaimed last
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Most processor time, in processors: 0.5; 0 is no limit
    #[arg(long, allow_negative_numbers = true)]
    cpus: Option<f64>,
    /// Microseconds of processor time in each period: another way to say --cpus
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true, conflicts_with = "cpus")]
    cpu_quota: Option<i64>,
    /// Microseconds of such a period; 100000 without
    #[arg(long, value_name = "MICROSECONDS", conflicts_with = "cpus")]
    cpu_period: Option<u32>,
    /// Its share when processors are short; others have 1024
    #[arg(short, long, value_name = "NUMBER")]
    cpu_shares: Option<u64>,
    /// The processors that it may run on: 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Most processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
}

/// What each process may use, from its start to its end.
#[derive(Clone, Debug, Default, Args)]
pub struct Limits {
    /// NAME=SOFT[:HARD], a limit of setrlimit(2)
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// -1000 to 1000: who is killed first when memory runs out
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    oom_score_adj: Option<i32>,
}

impl Limits {
    /// Adds what was said.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn add(&self, container: Container) -> Result<Container> {
        Ok(Container {
            ulimits: self.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_>>()?,
            oom_score_adj: self.oom_score_adj,
            ..container
        })
    }
}

/// As much swap as there is.
const UNLIMITED: Bytes = Bytes(i64::MAX as u64);

impl Resources {
    /// Adds what was said.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn add(&self, container: Container) -> Result<Container> {
        let mut container = self.said(container)?;
        if container.memory.is_none() {
            // As much as there is: so it is without a limit of memory.
            container.memory_swap = container.memory_swap.filter(|swap| *swap != UNLIMITED);
        }
        let swap = container.memory.filter(|_| knows_swap()).map(with_swap);
        container.memory_swap = container.memory_swap.or(swap);
        Ok(container)
    }

    /// What was said, and nothing that follows from it. As with Docker, 0 says nothing.
    fn said(&self, container: Container) -> Result<Container> {
        let amount = |option: &str, text: &Option<String>| {
            let amount = text.as_deref().map(|text| size(option, text)).transpose();
            amount.map(|amount| amount.filter(|bytes| bytes.0 > 0))
        };
        Ok(Container {
            memory: amount("--memory", &self.memory)?,
            memory_swap: match self.memory_swap.as_deref() {
                Some("-1") => Some(UNLIMITED),
                _ => amount("--memory-swap", &self.memory_swap)?,
            },
            memory_reservation: amount("--memory-reservation", &self.memory_reservation)?,
            cpus: self.cpus.or_else(|| self.quota()).filter(|cpus| *cpus != 0.0),
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids: self.pids()?,
            ..container
        })
    }

    /// The quota in processors; as with Docker, a period of 0 is the usual one, and less than a quota is none.
    fn quota(&self) -> Option<f64> {
        let period = self.cpu_period.filter(|period| *period > 0).unwrap_or(PERIOD);
        self.cpu_quota.map(|quota| quota.max(0) as f64 / f64::from(period))
    }

    fn pids(&self) -> Result<Option<u32>> {
        let number =
            |limit| u32::try_from(limit).map_err(|_| Error::new(format!("--pids-limit {limit}: too many")));
        self.pids_limit.filter(|limit| *limit > 0).map(number).transpose()
    }

    /// The same, where a limit is to be taken back from what has one: then it is above what there can be.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn change(&self, container: Container) -> Result<Container> {
        let mut container = self.said(container)?;
        if self.cpus.or_else(|| self.quota()) == Some(0.0) {
            container.cpus = Some(MOST_CPUS);
        }
        if self.pids_limit.is_some_and(|limit| limit <= 0) {
            container.pids = Some(MOST_PIDS);
        }
        Ok(container)
    }
}

/// Memory and swap together, where of swap nothing was said: as much of it as of memory.
fn with_swap(memory: Bytes) -> Bytes {
    Bytes(memory.0.saturating_mul(2).min(i64::MAX as u64))
}

/// The same for a container that is to have another limit of memory; none where swap was spoken of before.
pub fn swap_that_follows(now: &Container, memory: Bytes) -> Option<Bytes> {
    let follows = match now.memory_swap {
        None => now.memory.is_none() && knows_swap(),
        swap => swap == now.memory.map(with_swap),
    };
    follows.then(|| with_swap(memory))
}

/// Where the kernel knows of no swap, none can be limited.
fn knows_swap() -> bool {
    std::path::Path::new("/proc/swaps").exists()
}

/// In microseconds: Docker's.
const PERIOD: u32 = 100_000;

/// As many as a limit may say.
const MOST_CPUS: f64 = 8192.0;

/// `PID_MAX_LIMIT` (proc_sys_kernel(5), pid_max).
const MOST_PIDS: u32 = 1 << 22;

fn ulimit(text: &str) -> Result<(String, Ulimit)> {
    let (name, limit) =
        text.split_once('=').ok_or_else(|| Error::new(format!("--ulimit {text:?}: not NAME=SOFT[:HARD]")))?;
    Ok((name.to_owned(), parse("--ulimit", limit)?))
}

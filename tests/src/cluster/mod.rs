//! A Kubernetes cluster: the real control plane, and nodes on a wire of their own.
//!
//! ```no_run
//! use tests::{Cluster, Result};
//!
//! fn a_cluster_answers() -> Result {
//!     let cluster = Cluster::start()?;
//!     assert_eq!(cluster.kubectl("get nodes")?, "No resources found\n");
//!     Ok(())
//! }
//! ```
//!
//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler, which `tools/control-plane` builds,
//! run in a network namespace ([`namespace`]) with a bridge: 10.30.0.1 is theirs, nodes have 10.30.0.11
//! and so on. What `kubeadm init` makes is there: certificates ([`pki`]), a bootstrap token, the rights
//! of who has it (`tests/control-plane/bootstrap.yaml`). Everything ends with this value, and with this
//! process, however it ends.

mod bare;
mod control_plane;
mod forward;
mod kubelet;
mod namespace;
mod nfs;
mod pki;
mod program;
mod proxy;
mod registry;
mod station;

use crate::disk::Scratch;
use crate::image::{repository, said};
use crate::{Failure, Result, web};
use control_plane::{ControlPlane, Settings};
use namespace::Namespace;
use pki::{Pki, Subject};
use registry::Registry;
use station::Stations;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use bare::Bare;
pub use kubelet::Kubelet;
pub use nfs::FileServer;
pub use proxy::{Asked, Fault, Proxy};

/// The control plane's address on the wire.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 30, 0, 1);
/// The API server.
pub(crate) const SERVER: &str = "https://10.30.0.1:6443";
/// Pods' addresses, of which each node gets a part.
pub(crate) const PODS: &str = "10.244.0.0/16";
/// Services' addresses.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// Who may do everything.
const ADMIN: Subject<'_> = Subject { name: "kubernetes-admin", group: Some("system:masters") };
/// The bootstrap token.
const TOKEN: (&str, &str) = ("abcdef", "0123456789abcdef");
/// The first service's address, the API server's for those in pods.
const KUBERNETES: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// How long each wait lasts at most: two busy processors compile and emulate beside it.
const LIMIT: Duration = Duration::from_secs(300);

/// A test's hold on a cluster. When the test fails, the last lines of each program's log are printed.
pub struct Cluster {
    parts: Arc<Parts>,
    failed: Arc<AtomicBool>,
}

struct Parts {
    // In the order in which they end: the programs before their files.
    control_plane: ControlPlane,
    namespace: Namespace,
    stations: Stations,
    registry: Registry,
    pki: Pki,
    programs: PathBuf,
    folder: PathBuf,
    _scratch: Option<Scratch>,
}

impl Cluster {
    /// The test program's one cluster of the newest version, which ends with it.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be built, or did not come up in time.
    pub fn shared() -> Result<Self> {
        static CLUSTER: OnceLock<std::result::Result<Arc<Parts>, String>> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| match Self::start() {
            Ok(cluster) => Ok(Arc::clone(&cluster.parts)),
            Err(failure) => Err(failure.to_string()),
        });
        cluster.clone().map(Self::of).map_err(|words| Failure::new(format!("cluster: {words}")))
    }

    /// Starts a cluster of the newest version, or of that in `SKERRY_TEST_KUBERNETES`, and waits until it
    /// takes pods.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be built, or does not come up in time.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().to_owned();
        Self::start_with(&folder, Some(scratch), &Settings::default())
    }

    /// As [`Cluster::start`]; its files are in `folder`, which stays.
    ///
    /// # Errors
    ///
    /// When the control plane cannot be built, or does not come up in time.
    pub fn start_in(folder: &Path) -> Result<Self> {
        Self::start_with(folder, None, &Settings::default())
    }

    /// As [`Cluster::start`], with more arguments of kube-apiserver; `PKI/` in them is the folder of its certificates.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn start_with_api_server(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().to_owned();
        let api_server = words.into_iter().collect();
        Self::start_with(&folder, Some(scratch), &Settings { api_server, ..Settings::default() })
    }

    fn start_with(folder: &Path, scratch: Option<Scratch>, settings: &Settings) -> Result<Self> {
        let programs = control_plane()?;
        let namespace = Namespace::new(GATEWAY)?;
        let pki = Pki::new(&folder.join("pki"), &[GATEWAY, KUBERNETES, Ipv4Addr::LOCALHOST])?;
        pki.kubeconfig("admin", ADMIN, SERVER)?;
        let control_plane = ControlPlane::start(&namespace, &programs, &pki, folder, settings)?;
        let parts = Parts {
            control_plane,
            namespace,
            stations: Stations::default(),
            registry: Registry::default(),
            pki,
            programs,
            folder: folder.to_owned(),
            _scratch: scratch,
        };
        let cluster = Self::of(Arc::new(parts));
        cluster.run_until("kubectl get --raw=/readyz")?;
        cluster.bootstrap()?;
        // Without it no pod is admitted; the controller manager makes it soon after its start.
        cluster.run_until("kubectl get serviceaccount default")?;
        Ok(cluster)
    }

    fn of(parts: Arc<Parts>) -> Self {
        Self { parts, failed: Arc::default() }
    }

    /// What `kubeadm init` leaves behind for those who join.
    fn bootstrap(&self) -> Result {
        let file = repository().join("tests/control-plane/bootstrap.yaml");
        let config = self.parts.pki.public_kubeconfig(SERVER).replace('\n', "\n    ");
        let text = fs::read_to_string(file)?
            .replace("    KUBECONFIG", &format!("    {}", config.trim_end()))
            .replace("TOKEN_ID", TOKEN.0)
            .replace("TOKEN_SECRET", TOKEN.1);
        let rights = fs::read_to_string(repository().join("examples/nodes.yaml"))?;
        self.apply(&format!("{text}\n---\n{rights}")).map(drop)
    }

    /// What kubectl says to this command line, which a shell reads, as the cluster's administrator.
    ///
    /// # Errors
    ///
    /// When it does not exit with status 0; its own words.
    pub fn kubectl(&self, words: &str) -> Result<String> {
        self.run(&format!("kubectl {words}"))
    }

    /// Applies objects in YAML or JSON.
    ///
    /// # Errors
    ///
    /// What kubectl says.
    pub fn apply(&self, objects: &str) -> Result<String> {
        let file = self.scratch_file("objects", objects)?;
        self.kubectl(&format!("apply -f {}", file.display()))
    }

    /// Runs a shell command on the cluster's wire, with kubectl in its `PATH`.
    ///
    /// # Errors
    ///
    /// When it does not exit with status 0; its own words.
    pub fn run(&self, command: &str) -> Result<String> {
        self.blame(said(self.shell(command)?.stderr(Stdio::piped())))
    }

    /// Whoever joins it gets the moment when the API server says that this node is ready. That is looked for from now
    /// on, by a kubectl that runs already when the node is switched on.
    ///
    /// # Errors
    ///
    /// When kubectl cannot be started; for who joins, when the node is not ready within ten minutes.
    pub fn when_ready(&self, name: &str) -> Result<JoinHandle<Result<Instant>>> {
        let shown = r#"{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}"#;
        let command = format!("exec kubectl get nodes --watch --request-timeout=600s -o jsonpath='{shown}'");
        let mut kubectl = self.shell(&command)?.stdout(Stdio::piped()).spawn()?;
        let said = kubectl.stdout.take().map(BufReader::new);
        let ready = format!("{name} True");
        Ok(thread::spawn(move || {
            let mut lines = said.into_iter().flat_map(BufRead::lines);
            let found = lines.any(|line| line.is_ok_and(|line| line == ready)).then(Instant::now);
            kubectl.kill()?;
            kubectl.wait()?;
            found.ok_or_else(|| Failure::new(format!("kubectl's watch has ended without \"{ready}\"")))
        }))
    }

    /// Runs a shell command twice a second until it succeeds, for what nothing announces.
    ///
    /// # Errors
    ///
    /// When it does not in time; its last words. When a program of the control plane has ended.
    pub fn run_until(&self, command: &str) -> Result<String> {
        let end = Instant::now() + LIMIT;
        loop {
            let last = match said(&mut self.shell(command)?) {
                Ok(words) => return Ok(words),
                Err(failure) => failure,
            };
            if let Some(words) = self.parts.control_plane.ended() {
                return self
                    .blame(Err(Failure::new(format!("a program of the control plane ended\n{words}"))));
            }
            if Instant::now() > end {
                let limit = LIMIT.as_secs();
                return self.blame(Err(Failure::new(format!("{command:?}: not within {limit} s: {last}"))));
            }
            thread::sleep(Duration::from_millis(400));
        }
    }

    /// Whether the test whose hold this is fails.
    pub fn has_failed(&self) -> bool {
        thread::panicking() || self.failed.load(Ordering::Relaxed)
    }

    /// The bootstrap token.
    pub fn token(&self) -> String {
        format!("{}.{}", TOKEN.0, TOKEN.1)
    }

    /// Makes a bootstrap token, `ID.SECRET`, as `kubeadm token create` does.
    ///
    /// # Errors
    ///
    /// What kubectl says.
    pub fn create_token(&self, token: &str) -> Result {
        let (id, secret) = token.split_once('.').unwrap_or((token, ""));
        let words = format!(
            "-n kube-system create secret generic bootstrap-token-{id} --type=bootstrap.kubernetes.io/token \
             --from-literal=token-id={id} --from-literal=token-secret={secret} \
             --from-literal=usage-bootstrap-authentication=true --from-literal=usage-bootstrap-signing=true \
             --from-literal=auth-extra-groups=system:bootstrappers:kubeadm:default-node-token"
        );
        self.kubectl(&words).map(drop)
    }

    /// The hash of the cluster's authority, as kubeadm writes it.
    pub fn ca_hash(&self) -> String {
        self.parts.pki.ca_hash()
    }

    /// The cluster's authority in PEM.
    pub fn ca(&self) -> &str {
        self.parts.pki.ca_pem()
    }

    /// kubectl that asks the server of a node itself, as the API server does, and believes it by the cluster's authority.
    pub fn kubectl_of_node(&self, name: &str) -> String {
        let file = |name| self.parts.pki.file(name);
        format!(
            "kubectl --kubeconfig=/dev/null --server=https://{}:10250 --certificate-authority={} \
             --client-certificate={} --client-key={}",
            self.address_of(name),
            file("ca.crt"),
            file("apiserver-kubelet-client.crt"),
            file("apiserver-kubelet-client.key"),
        )
    }

    /// A kubeconfig of somebody who has nothing but a token; `name` names its file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn config_with_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.parts.pki.token_kubeconfig(name, token, SERVER)
    }

    /// A kubeconfig of the administrator for who reaches the API server at `server`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn admin_config(&self, server: &str) -> Result<PathBuf> {
        self.parts.pki.kubeconfig("elsewhere", ADMIN, server)
    }

    /// A file of these bytes, for a command.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn scratch_file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = crate::disk::fresh(&self.parts.folder, name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// The page at `path` of the server at this address, asked for from the wire until it answers.
    ///
    /// # Errors
    ///
    /// When nothing does in time, or not with status 200.
    pub fn page(&self, server: impl Into<SocketAddr>, path: &str) -> Result<String> {
        let server = server.into();
        self.blame(self.inside(|| web::page(server, path, LIMIT)).flatten())
    }

    /// Tells what `action` returns on a thread that is on the cluster's wire, for sockets.
    ///
    /// # Errors
    ///
    /// When the thread cannot be put there.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        self.blame(self.parts.namespace.inside(action))
    }

    fn shell(&self, command: &str) -> Result<Command> {
        let mut path = std::ffi::OsString::from(&self.parts.programs);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut shell = self.parts.namespace.command("sh");
        shell
            .args(["-c", command])
            .env("PATH", path)
            .env("HOME", &self.parts.folder)
            .env("KUBECONFIG", self.parts.pki.file("admin.conf"))
            .stdin(Stdio::null());
        Ok(shell)
    }

    fn blame<T>(&self, result: Result<T>) -> Result<T> {
        self.failed.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.has_failed() {
            eprintln!("{}", self.parts.control_plane.tails());
        }
    }
}

/// The folder of the control plane's programs, built when it is not there.
///
/// # Errors
///
/// What `tools/control-plane` says.
pub fn control_plane() -> Result<PathBuf> {
    let mut build = Command::new(repository().join("tools/control-plane"));
    if let Ok(version) = std::env::var("SKERRY_TEST_KUBERNETES") {
        build.arg(version);
    }
    Ok(PathBuf::from(said(&mut build)?.trim()))
}

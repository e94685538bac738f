//! Keys and certificates of a cluster, as kubeadm lays them out, and kubeconfigs with them.
//!
//! ```text
//! FOLDER/ca.crt, ca.key              the cluster's authority, for servers and clients
//!        apiserver.crt, .key         the API server's own
//!        apiserver-kubelet-client.*  what the API server shows to nodes
//!        front-proxy-ca.*, front-proxy-client.*   for aggregated API servers
//!        sa.pub, sa.key              signs service accounts' tokens
//!        NAME.conf                   a kubeconfig
//! ```

use crate::{Result, base64};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names that the API server has for those in the cluster.
const SERVER_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// The authority of a cluster and the folder of its files.
pub(crate) struct Pki {
    folder: PathBuf,
    ca: Authority,
}

/// Who a certificate is for.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The user's name to Kubernetes.
    pub name: &'a str,
    /// The user's group, if any.
    pub group: Option<&'a str>,
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A key and the certificate for it.
struct Pair {
    certificate: String,
    key: String,
}

impl Pki {
    /// Writes everything but kubeconfigs into `folder`. The API server is reached at `addresses`.
    pub fn new(folder: &Path, addresses: &[Ipv4Addr]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let write = |name: &str, text: &str| fs::write(folder.join(name), text);
        let ca = Authority::new("kubernetes")?;
        write("ca.crt", &ca.pem)?;
        write("ca.key", &ca.issuer.key().serialize_pem())?;
        let front = Authority::new("front-proxy-ca")?;
        write("front-proxy-ca.crt", &front.pem)?;
        let client = |name| Subject { name, group: None };
        let pairs = [
            ("apiserver", ca.server("kube-apiserver", addresses)?),
            ("apiserver-kubelet-client", ca.client(client("kube-apiserver-kubelet-client"))?),
            ("front-proxy-client", front.client(client("front-proxy-client"))?),
        ];
        for (name, pair) in pairs {
            write(&format!("{name}.crt"), &pair.certificate)?;
            write(&format!("{name}.key"), &pair.key)?;
        }
        let accounts = KeyPair::generate()?;
        write("sa.key", &accounts.serialize_pem())?;
        write("sa.pub", &accounts.public_key_pem())?;
        Ok(Self { folder: folder.to_owned(), ca })
    }

    /// Where a file lies.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The authority's certificate in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca.pem
    }

    /// What `kubeadm join` takes as `--discovery-token-ca-cert-hash`: of the authority's public key.
    pub fn ca_hash(&self) -> String {
        let key = self.ca.issuer.key().subject_public_key_info();
        let digest = Sha256::digest(key);
        digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// A kubeconfig that tells where the API server is and by whose authority, and nothing more.
    pub fn public_kubeconfig(&self, server: &str) -> String {
        let ca = base64::encode(self.ca.pem.as_bytes());
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    \
             certificate-authority-data: {ca}\n    server: {server}\n"
        )
    }

    /// Writes `FILE.conf`, with which `subject` speaks to the API server at `server`.
    pub fn kubeconfig(&self, file: &str, subject: Subject<'_>, server: &str) -> Result<PathBuf> {
        let Pair { certificate, key } = self.ca.client(subject)?;
        let mut user = String::new();
        writeln!(user, "    client-certificate-data: {}", base64::encode(certificate.as_bytes()))?;
        writeln!(user, "    client-key-data: {}", base64::encode(key.as_bytes()))?;
        let path = self.folder.join(format!("{file}.conf"));
        fs::write(&path, kubeconfig(server, &self.ca.pem, subject.name, &user))?;
        Ok(path)
    }

    /// A certificate and its key in PEM that hold until then.
    pub fn client_while(&self, subject: Subject<'_>, holds: &Range<SystemTime>) -> Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(subject.name, subject.group);
        params.not_before = holds.start.into();
        params.not_after = holds.end.into();
        let Pair { certificate, key } = self.ca.sign(params, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(certificate + &key)
    }

    /// Writes `FILE.conf`, with which the holder of a token speaks to the API server at `server`.
    pub fn token_kubeconfig(&self, file: &str, token: &str, server: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{file}.conf"));
        fs::write(&path, kubeconfig(server, &self.ca.pem, file, &format!("    token: {token}\n")))?;
        Ok(path)
    }
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    fn client(&self, subject: Subject<'_>) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(subject.name, subject.group);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn server(&self, name: &str, addresses: &[Ipv4Addr]) -> Result<Pair> {
        let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
        params.distinguished_name = named(name, None);
        params.subject_alt_names.extend(addresses.iter().map(|&address| SanType::IpAddress(address.into())));
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Result<Pair> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

fn named(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    if let Some(group) = group {
        all.push(DnType::OrganizationName, group);
    }
    all.push(DnType::CommonName, name);
    all
}

fn kubeconfig(server: &str, ca: &str, user: &str, secret: &str) -> String {
    let ca = base64::encode(ca.as_bytes());
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: skerry\n\
         clusters:\n- name: skerry\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
         contexts:\n- name: skerry\n  context:\n    cluster: skerry\n    user: {user:?}\n\
         users:\n- name: {user:?}\n  user:\n{secret}"
    )
}

//! A file server on the cluster's wire.

use super::program::Program;
use super::{Cluster, GATEWAY, LIMIT};
use crate::image::{repository, said};
use crate::{Failure, Result};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// NFS 4.0 to 4.2, with a folder in memory, `/data`, that everybody may write.
const CONFIG: &str = "
NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; NFS_Port = 2049; Plugins_Dir = \"PLUGINS\"; }
NFSv4 { Graceless = true; Only_Numeric_Owners = true; UseGetpwnam = true; RecoveryRoot = \"FOLDER\"; }
MEM { Inode_Size = 65536; }
EXPORT { Export_Id = 1; Path = /data; Pseudo = /data; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
    Transports = TCP; FSAL { Name = MEM; } }
";

/// Where Debian has it: it is unpacked and not installed, or it would start with this machine. The server and its
/// back end come first.
const PACKAGES: [&str; 6] =
    ["nfs-ganesha", "nfs-ganesha-mem", "libntirpc4.3", "libnfsidmap1", "liburcu8", "libwbclient0"];
/// Their libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A running server; what was written to it goes with it.
pub struct FileServer {
    program: Option<Program>,
    _turn: MutexGuard<'static, ()>,
}

impl FileServer {
    /// Ends it. Nobody else's takes its place yet, where its clients would write on.
    pub fn end(&mut self) {
        self.program = None;
    }
}

impl Cluster {
    /// Starts nfs-ganesha as Debian has it, at the gateway's address, once nobody else has it there.
    ///
    /// # Errors
    ///
    /// When it is not there and cannot be installed, or does not answer in time; the end of its log.
    pub fn file_server(&self) -> Result<FileServer> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        said(Command::new(repository().join("tools/need")).args(["libgssapi-krb5-2", "libbsd0"]))?;
        let unpacked = PACKAGES.map(crate::image::unpacked).into_iter().collect::<Result<Vec<_>>>()?;
        let folders = unpacked.iter().flat_map(|one| [one.join(LIBRARIES), one.join("usr/lib/ganesha")]);
        let libraries: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        let server = unpacked[0].join("usr/bin/ganesha.nfsd");
        let plugins = unpacked[1].join(LIBRARIES).join("ganesha");
        let folder = self.scratch_file("ganesha", "")?.with_extension("d");
        fs::create_dir_all(&folder)?;
        let config = self.scratch_file(
            "ganesha.conf",
            &CONFIG
                .replace("FOLDER", &folder.display().to_string())
                .replace("PLUGINS", &plugins.display().to_string()),
        )?;
        let arguments = [
            format!("LD_LIBRARY_PATH={}", libraries.join(":")),
            server.display().to_string(),
            "-F".to_owned(),
            "-L".to_owned(),
            "/dev/stdout".to_owned(),
            "-f".to_owned(),
            config.display().to_string(),
            "-p".to_owned(),
            folder.join("pid").display().to_string(),
        ];
        let program =
            Program::start(&self.parts.namespace, Path::new("/usr/bin/env"), &arguments, &self.parts.folder)?;
        let end = Instant::now() + LIMIT;
        // It tells nobody when it listens.
        while self.inside(|| TcpStream::connect((GATEWAY, 2049)))?.is_err() {
            if program.ended() || Instant::now() > end {
                return Err(Failure::new(format!("nfs-ganesha does not answer\n{}", program.tail())));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(FileServer { program: Some(program), _turn: turn })
    }
}

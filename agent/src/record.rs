//! Records of the agent's own on the data disk. To have one there may take as long as all that others have written before
//! it, minutes on a slow disk (fsync(2)): a thread that may wait does it, and the node's heartbeat goes on.

use std::fs;
use std::io;
use std::path::Path;
use tokio::task::spawn_blocking;

/// Puts `text` in place of what a file holds, in a folder that is made if need be; `durably`: it is there after a power cut,
/// too.
///
/// # Errors
/// As mkdir(2), open(2), write(2), fsync(2) and rename(2) have them.
pub async fn write(path: &Path, text: Vec<u8>, durably: bool) -> io::Result<()> {
    let path = path.to_owned();
    let write = move || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        match durably {
            true => sys::file::replace_durably(&path, &text, 0o644),
            false => sys::file::replace(&path, &text),
        }
    };
    spawn_blocking(write).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;

    #[tokio::test]
    async fn others_go_on_while_a_disk_is_slow() {
        let folder = std::env::temp_dir().join(format!("skerry-record-{}", std::process::id()));
        let path = folder.join("pod.json");
        fs::create_dir_all(&folder).unwrap();
        // Who opens a pipe to write to it waits for somebody who reads.
        let slow = folder.join("pod.json.new");
        nix::unistd::mkfifo(&slow, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let to = path.clone();
        let written = tokio::spawn(async move { write(&to, b"{}".to_vec(), false).await });
        // What waits there waits aside: this thread goes on.
        tokio::task::yield_now().await;
        let mut reader = fs::OpenOptions::new();
        let mut reader = reader.read(true).custom_flags(nix::libc::O_NONBLOCK).open(&slow).unwrap();
        written.await.unwrap().unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}");
        fs::remove_file(&path).unwrap();
        write(&path, b"[]".to_vec(), true).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"[]");
        fs::remove_dir_all(&folder).unwrap();
    }
}

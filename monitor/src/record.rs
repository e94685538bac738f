//! The containers' records: what a monitor must know after it was killed.

use crate::life::{Observed, State};
use spec::node::Name;
use std::fs;
use std::io;
use std::path::Path;

/// Writes a container's record into its folder.
pub fn write(folder: &Path, observed: &Observed) -> io::Result<()> {
    let text = serde_json::to_vec(observed)?;
    fs::create_dir_all(folder)?;
    sys::file::replace(&folder.join("record"), &text)
}

/// Reads a container's record. One that cannot be read, which no kill leaves
/// behind, counts as a container half made: it is cleaned up before anything else.
pub fn read(folder: &Path) -> Option<Observed> {
    let text = match fs::read(folder.join("record")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => Vec::new(),
    };
    let half_made = Observed { state: State::Creating, ..Observed::default() };
    Some(serde_json::from_slice(&text).unwrap_or(half_made))
}

/// The containers that have a record.
pub fn names(containers: &Path) -> Vec<Name> {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    names.filter(|name: &Name| containers.join(&**name).join("record").exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::{End, Event, Process, Stop, apply};
    use std::time::Duration;

    #[test]
    fn a_record_reads_back_as_it_was_written_in_every_state() {
        let folder = std::env::temp_dir().join(format!("skerry-record-{}/web", std::process::id()));
        assert_eq!(read(&folder), None);
        let mut observed = Observed::default();
        let stop = Stop { signal: 37, grace: Duration::from_millis(1500) };
        let events = [
            Event::Creating(stop),
            Event::Created(Ok(Process { pid: 7, start_time: 1234 })),
            Event::Started(Ok(())),
            Event::Asked,
            Event::Ended(End::NotStarted("mount \"x\": no\nway".into())),
            Event::Deleted(Ok(())),
        ];
        for event in events {
            apply(&mut observed, &event, Duration::new(5, 7));
            write(&folder, &observed).unwrap();
            assert_eq!(read(&folder).as_ref(), Some(&observed));
        }
        assert_eq!(names(folder.parent().unwrap()), ["web".parse::<Name>().unwrap()]);
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_record_that_is_noise_counts_as_half_made() {
        let folder = std::env::temp_dir().join(format!("skerry-noise-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("record"), b"{\"state\":").unwrap();
        assert_eq!(read(&folder).unwrap().state, State::Creating);
        fs::remove_dir_all(&folder).unwrap();
    }
}

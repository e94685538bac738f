//! `/etc/passwd`, passwd(5). The C library's own way would want its name services,
//! which a static program cannot load.

use crate::image_file;
use std::io::Read;

/// As much of the file as is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// The name of a user, if the file that is `/etc/passwd` now has one.
pub fn name(uid: u32) -> Option<String> {
    field(uid, 0)
}

/// The home of a user.
pub fn home(uid: u32) -> Option<String> {
    field(uid, 5)
}

fn field(uid: u32, place: usize) -> Option<String> {
    let mut text = Vec::new();
    let (file, _) = image_file::open("/etc/passwd".as_ref()).ok()?;
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    field_in(&String::from_utf8_lossy(&text), uid, place)
}

fn field_in(text: &str, uid: u32, place: usize) -> Option<String> {
    let uid = uid.to_string();
    let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut own = lines.filter(|fields| fields.get(2) == Some(&uid.as_str()));
    let field = own.find_map(|fields| fields.get(place).copied())?;
    (!field.is_empty()).then(|| field.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_number() {
        let text =
            "root:x:0:0:root:/root:/bin/sh\n# nobody\nshort:x:7\nweb:x:33:33::/var/www:\nno:x:34:34:::\n";
        assert_eq!(field_in(text, 33, 5).as_deref(), Some("/var/www"));
        assert_eq!(field_in(text, 0, 0).as_deref(), Some("root"));
        assert_eq!((field_in(text, 7, 5), field_in(text, 34, 5), field_in(text, 1, 0)), (None, None, None));
    }
}

//! Who runs a container's program: `USER[:GROUP]`, looked up in the image's
//! `/etc/passwd` and `/etc/group` (passwd(5), group(5)) as Docker does.
//!
//! A number needs no entry; a name does. Without a group the user's own one is
//! taken and the groups that list the user are added; with one, it alone.

/// A user with numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home folder, `/` when nobody says.
    pub home: String,
}

/// Finds the numbers of `spec`; empty means root.
///
/// # Errors
/// A name without an entry, by name.
pub fn resolve(spec: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (user, wanted_group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd.lines().filter_map(Entry::passwd).find(|entry| entry.is(user));
    let (uid, own_group) = match &entry {
        Some(entry) => (entry.id, entry.group),
        None => (number(user).ok_or_else(|| format!("user {user:?} is not in the image's /etc/passwd"))?, 0),
    };
    let (gid, groups) = match wanted_group {
        Some(wanted) => (group_id(wanted, group)?, Vec::new()),
        None => (own_group, entry.as_ref().map(|entry| groups_of(entry.name, group)).unwrap_or_default()),
    };
    let home = entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(User { uid, gid, groups, home })
}

struct Entry<'a> {
    name: &'a str,
    id: u32,
    group: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    fn passwd(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [name, _, id, group, _, home, ..] = fields[..] else {
            return None;
        };
        Some(Self { name, id: number(id)?, group: number(group)?, home })
    }

    fn is(&self, user: &str) -> bool {
        self.name == user || number(user) == Some(self.id)
    }
}

/// The number of a group, by name or number.
///
/// # Errors
/// A name without an entry.
pub fn group_id(wanted: &str, group: &str) -> Result<u32, String> {
    let named = group.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        (fields.next()? == wanted).then(|| fields.nth(1).and_then(number))?
    });
    named
        .or_else(|| number(wanted))
        .ok_or_else(|| format!("group {wanted:?} is not in the image's /etc/group"))
}

/// Groups of the image that list the user of this number, as pods have them whatever else is asked for.
pub fn groups(uid: u32, passwd: &str, group: &str) -> Vec<u32> {
    let entry = passwd.lines().filter_map(Entry::passwd).find(|entry| entry.id == uid);
    entry.map(|entry| groups_of(entry.name, group)).unwrap_or_default()
}

fn groups_of(user: &str, group: &str) -> Vec<u32> {
    let lists = |line: &&str| {
        line.trim().split(':').nth(3).is_some_and(|members| members.split(',').any(|name| name == user))
    };
    group.lines().filter(lists).filter_map(|line| line.split(':').nth(2).and_then(number)).collect()
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken:x\n\
                          www:x:33:34:www:/var/www:/sbin/nologin\nnohome:x:40:41:::\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nssl:x:50:www,other\nlog:x:51:www\n";

    fn resolved(spec: &str) -> (u32, u32, Vec<u32>, String) {
        let user = resolve(spec, PASSWD, GROUP).unwrap();
        (user.uid, user.gid, user.groups, user.home)
    }

    #[test]
    fn names_and_numbers_find_their_entries() {
        assert_eq!(resolved(""), (0, 0, vec![], "/root".into()));
        assert_eq!(resolved("www"), (33, 34, vec![50, 51], "/var/www".into()));
        assert_eq!(resolved("33"), (33, 34, vec![50, 51], "/var/www".into()));
        assert_eq!(resolved("www:ssl"), (33, 50, vec![], "/var/www".into()));
        assert_eq!(resolved("www:"), (33, 34, vec![50, 51], "/var/www".into()));
        assert_eq!(resolved("33:77"), (33, 77, vec![], "/var/www".into()));
        assert_eq!(resolved("nohome"), (40, 41, vec![], "/".into()));
    }

    #[test]
    fn groups_of_a_number_are_those_that_list_its_name() {
        assert_eq!([groups(33, PASSWD, GROUP), groups(7, PASSWD, GROUP)], [vec![50, 51], vec![]]);
    }

    #[test]
    fn a_number_needs_no_entry() {
        assert_eq!(resolved("1234"), (1234, 0, vec![], "/".into()));
        assert_eq!(resolve("7:8", "", ""), Ok(User { uid: 7, gid: 8, groups: vec![], home: "/".into() }));
    }

    #[test]
    fn a_name_without_an_entry_is_refused() {
        let error = resolve("ghost", PASSWD, GROUP).unwrap_err();
        assert!(error.contains("\"ghost\"") && error.contains("passwd"), "{error}");
        let error = resolve("www:ghosts", PASSWD, GROUP).unwrap_err();
        assert!(error.contains("\"ghosts\"") && error.contains("group"), "{error}");
        assert!(resolve("-1", PASSWD, GROUP).is_err());
    }
}

//! Mount options, as mount(8) and the specification word them
//! (`config.md`, Linux mount options).

/// Options of one mount, sorted by what the kernel does with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `MOUNT_ATTR_*` to set on the mount itself.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear on it.
    pub clear: u64,
    /// To set on it and on all mounts below.
    pub set_recursive: u64,
    /// To clear on it and on all mounts below.
    pub clear_recursive: u64,
    /// `MS_PRIVATE` and the like, and whether for all mounts below as well.
    pub propagation: Option<(u64, bool)>,
    /// It is a bind mount; with what is mounted below when true.
    pub bind: Option<bool>,
    /// What is mounted there is changed.
    pub remount: bool,
    /// Parameters of the file system: `key` or `key=value`.
    pub parameters: Vec<String>,
    /// It is idmapped; with what is mounted below when true.
    pub idmap: Option<bool>,
    /// Options of other runtimes, not supported.
    pub refused: Vec<String>,
}

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
/// Clear this to change how access times are kept (mount_setattr(2)).
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// Name, what it sets, what it clears. Each exists with an `r` in front as well:
/// for all mounts below too.
const ATTRIBUTES: [(&str, u64, u64); 17] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME),
    ("atime", 0, ATIME),
    ("relatime", 0, ATIME),
    ("norelatime", 0, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nostrictatime", 0, ATIME),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
];

/// Without a counterpart that sets, so outside the table's pairs.
const SYMFOLLOW: &str = "symfollow";

/// Name, flag of mount(2), for all mounts below as well.
pub const PROPAGATIONS: [(&str, u64, bool); 8] = [
    ("private", libc::MS_PRIVATE, false),
    ("rprivate", libc::MS_PRIVATE, true),
    ("shared", libc::MS_SHARED, false),
    ("rshared", libc::MS_SHARED, true),
    ("slave", libc::MS_SLAVE, false),
    ("rslave", libc::MS_SLAVE, true),
    ("unbindable", libc::MS_UNBINDABLE, false),
    ("runbindable", libc::MS_UNBINDABLE, true),
];

/// Flags of the file system rather than the mount (fsconfig(2)).
const FILE_SYSTEM_FLAGS: [&str; 7] = ["sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"];

/// Mean nothing here: what they ask for is the case anyway, or what kernels of this decade do not ask for: a file
/// system that has versions of inodes keeps them.
const IGNORED: [&str; 10] =
    ["defaults", "auto", "noauto", "user", "nouser", "loud", "silent", "nofail", "iversion", "noiversion"];

/// With a value they are crun's own.
const IDMAP: [&str; 2] = ["idmap", "ridmap"];

/// What makes a tmpfs begin with a copy of what it covers: of the source rather than
/// the mount.
pub(super) const COPY_UP: &str = "tmpcopyup";

impl Options {
    /// Sorts options; a later one is stronger. `none` is the file system of a bind
    /// mount in fstab, so it is not looked at here.
    pub fn new(options: &[String]) -> Self {
        let mut sorted = Self::default();
        each(options).for_each(|option| sorted.add(option));
        sorted
    }

    /// Whether writers are kept out.
    pub fn is_read_only(&self) -> bool {
        (self.set | self.set_recursive) & RDONLY != 0
    }

    /// Whatever the options say.
    pub fn read_only(&mut self) {
        self.add("ro");
    }

    /// What is read-only is so with all mounts below.
    pub fn read_only_below(&mut self) {
        if self.set & RDONLY != 0 {
            self.add("rro");
        }
    }

    fn add(&mut self, option: &str) {
        if let Some((set, clear)) = attribute(option) {
            (self.set, self.clear) = ((self.set & !clear) | set, (self.clear & !set) | clear);
        } else if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
            self.set_recursive = (self.set_recursive & !clear) | set;
            self.clear_recursive = (self.clear_recursive & !set) | clear;
        } else if let Some((_, flag, recursive)) = PROPAGATIONS.into_iter().find(|(name, ..)| *name == option)
        {
            self.propagation = Some((flag, recursive));
        } else {
            self.add_other(option);
        }
    }

    fn add_other(&mut self, option: &str) {
        match option {
            "bind" => self.bind = Some(self.bind == Some(true)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "async" | "nolazytime" | COPY_UP => {}
            ignored if IGNORED.contains(&ignored) => {}
            "idmap" => self.idmap = Some(self.idmap == Some(true)),
            "ridmap" => self.idmap = Some(true),
            refused if IDMAP.contains(&refused.split('=').next().unwrap_or("")) => {
                self.refused.push(refused.to_owned());
            }
            parameter => self.parameters.push(parameter.to_owned()),
        }
    }
}

/// Options one by one: several may stand in a string, as in the fifth argument of mount(2).
pub(super) fn each(options: &[String]) -> impl Iterator<Item = &str> {
    options.iter().flat_map(|option| parts(option)).filter(|option| !option.is_empty())
}

/// What stands between commas, but for those in quotes, as in SELinux's contexts, behind a backslash, as in an
/// overlay's folders, and before a digit, as in tmpfs's `mpol=bind:0,2` (`shmem_parse_monolithic` of the kernel).
fn parts(option: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let mut after = option.chars().skip(1);
    option.split(move |letter| {
        quoted ^= letter == '"';
        let before_digit = after.next().is_some_and(|letter| letter.is_ascii_digit());
        let is_end = letter == ',' && !quoted && !escaped && !before_digit;
        escaped = letter == '\\' && !escaped;
        is_end
    })
}

fn attribute(option: &str) -> Option<(u64, u64)> {
    if option == SYMFOLLOW {
        return Some((0, NOSYMFOLLOW));
    }
    let found = ATTRIBUTES.into_iter().find(|(name, ..)| *name == option)?;
    Some((found.1, found.2))
}

/// Every option that is known, for `features`.
pub fn names() -> Vec<String> {
    let attributes = ATTRIBUTES.into_iter().map(|(name, ..)| name).chain([SYMFOLLOW]);
    let mut names: Vec<String> = attributes.flat_map(|name| [name.to_owned(), format!("r{name}")]).collect();
    names.extend(PROPAGATIONS.into_iter().map(|(name, ..)| name.to_owned()));
    names.extend(FILE_SYSTEM_FLAGS.into_iter().chain(IGNORED).map(str::to_owned));
    names.extend(["bind", "rbind", "remount", COPY_UP].into_iter().chain(IDMAP).map(str::to_owned));
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Options {
        Options::new(&list.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_later_option_is_stronger() {
        assert_eq!((of("ro,rw").set, of("ro,rw").clear), (0, RDONLY));
        assert_eq!((of("rw,ro").set, of("rw,ro").clear), (RDONLY, 0));
        assert_eq!((of("noatime,strictatime").set, of("noatime,strictatime").clear), (STRICTATIME, ATIME));
    }

    #[test]
    fn an_r_in_front_means_all_below() {
        let options = of("rro,rnosuid,nodev,rsymfollow");
        assert_eq!((options.set, options.set_recursive), (NODEV, RDONLY | NOSUID));
        assert_eq!(options.clear_recursive, NOSYMFOLLOW);
    }

    #[test]
    fn rbind_and_relatime_are_no_recursive_bind_and_elatime() {
        let options = of("rbind,relatime,rslave,ro");
        assert_eq!((options.bind, options.set, options.clear), (Some(true), RDONLY, ATIME));
        assert_eq!(options.propagation, Some((libc::MS_SLAVE, true)));
        assert_eq!(options.parameters, Vec::<String>::new());
    }

    #[test]
    fn ridmap_is_stronger_than_idmap() {
        assert_eq!([of("bind").idmap, of("idmap").idmap], [None, Some(false)]);
        assert_eq!([of("ridmap,idmap").idmap, of("idmap,ridmap").idmap], [Some(true); 2]);
    }

    #[test]
    fn remount_and_versions_of_inodes_are_no_parameters() {
        let options = of("remount,iversion,noiversion,ro");
        assert!(options.remount && options.set == RDONLY && options.parameters.is_empty());
    }

    #[test]
    fn several_may_stand_in_one() {
        let of = |options: &[&str]| {
            Options::new(&options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>())
        };
        let options = of(&[
            "ro,mode=755,size=64k",
            "",
            r#"context="a:s0:c1,c2",b"#,
            r"lowerdir=/x\,y:/z",
            "mpol=bind:0,2",
        ]);
        assert_eq!(options.set, RDONLY);
        let expected =
            ["mode=755", "size=64k", r#"context="a:s0:c1,c2""#, "b", r"lowerdir=/x\,y:/z", "mpol=bind:0,2"];
        assert_eq!(options.parameters, expected);
    }

    /// The table of config.md, Linux mount options.
    const SPECIFIED: &str = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime \
        nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private \
        ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime \
        rnostrictatime rnosuid rnosymfollow ro rprivate rro rrw rshared rslave rstrictatime rsuid \
        rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap \
        ridmap";

    #[test]
    fn every_option_of_the_specification_is_told() {
        let names = names();
        for option in SPECIFIED.split_whitespace() {
            assert!(names.iter().any(|name| name == option), "{option}");
        }
    }

    #[test]
    fn the_rest_is_the_file_systems() {
        let options = of("mode=755,size=65536k,newinstance,defaults,idmap=uids=0-1-2");
        assert_eq!(options.parameters, ["mode=755", "size=65536k", "newinstance"]);
        assert_eq!(options.refused, ["idmap=uids=0-1-2"]);
    }
}

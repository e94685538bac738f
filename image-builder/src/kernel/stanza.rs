//! What `apt-cache show` prints of a package (deb822(5)): the fields that matter here.

/// A package as apt's lists describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// `Version`
    pub version: String,
    /// `SHA256` of the `.deb`; a package that is installed and no longer in the archive has none.
    pub sha256: Option<String>,
    depends: String,
}

impl Stanza {
    /// Reads the first stanza of a text.
    pub fn parse(text: &str) -> Option<Self> {
        let stanza = text.trim_start().split("\n\n").next()?;
        let field = |name: &str| {
            let mut fields = stanza.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned())
        };
        Some(Self {
            version: field("Version")?,
            sha256: field("SHA256"),
            depends: field("Depends").unwrap_or_default(),
        })
    }

    /// The kernel that the package depends on, with its version where that is
    /// given: `linux-image-6.12.1-amd64 (= 6.12.1-1)`.
    pub fn kernel_dependency(&self) -> Option<(String, Option<String>)> {
        let mut wanted = self.depends.split(',').map(str::trim);
        let found = wanted.find(|dependency| dependency.starts_with("linux-image-"))?;
        let (name, rest) = found.split_once(' ').unwrap_or((found, ""));
        let version = rest.strip_prefix("(= ").and_then(|rest| rest.strip_suffix(')'));
        Some((name.to_owned(), version.map(str::to_owned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_stands_for_the_current_kernel_leads_to_it() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 6.12.1-1\n\
            Depends: linux-image-6.12.1-cloud-amd64 (= 6.12.1-1)\nSHA256: abc\n\nPackage: x\nVersion: 2\n";
        let stanza = Stanza::parse(text).unwrap();
        assert_eq!((stanza.version.as_str(), stanza.sha256.as_deref()), ("6.12.1-1", Some("abc")));
        let kernel = ("linux-image-6.12.1-cloud-amd64".to_owned(), Some("6.12.1-1".to_owned()));
        assert_eq!(stanza.kernel_dependency(), Some(kernel));
    }

    #[test]
    fn a_kernel_depends_on_no_kernel() {
        let text = "Package: a\nVersion: 1\nDepends: kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool\n";
        assert_eq!(Stanza::parse(text).unwrap().kernel_dependency(), None);
        assert_eq!(Stanza::parse(""), None);
        assert_eq!(Stanza::parse("N: nothing"), None);
    }
}

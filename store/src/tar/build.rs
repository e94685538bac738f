//! Archives for tests, block by block, so that they can also be wrong.

/// An archive that grows.
#[derive(Default)]
pub(crate) struct Archive(pub Vec<u8>);

impl Archive {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry of a type with a size as the header says it and no content.
    pub fn header(mut self, path: &str, kind: u8, link: &str, size: u64) -> Self {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path.as_bytes());
        put(100, b"0000755\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"14524736400\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        put(329, b"0000000\0");
        put(337, b"0000000\0");
        self.0.extend(block);
        self.seal();
        self
    }

    /// Changes bytes of the last header and its checksum with them.
    pub fn patch(mut self, at: usize, bytes: &[u8]) -> Self {
        let start = self.0.len() - 512;
        self.0[start + at..start + at + bytes.len()].copy_from_slice(bytes);
        self.seal();
        self
    }

    fn seal(&mut self) {
        let start = self.0.len() - 512;
        let header = &mut self.0[start..];
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    /// Adds whole blocks that hold these bytes.
    pub fn data(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.header(path, b'0', "", bytes.len() as u64).data(bytes)
    }

    pub fn dir(self, path: &str) -> Self {
        self.header(path, b'5', "", 0)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.header(path, b'2', target, 0)
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.header(path, b'1', target, 0)
    }

    /// Adds a PAX header with these records for the entry to come.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let bare = key.len() + value.len() + 3;
            let length = (bare..).find(|length| length - length.to_string().len() == bare).unwrap();
            bytes.extend(format!("{length} {key}=").as_bytes());
            bytes.extend(*value);
            bytes.push(b'\n');
        }
        self.header("PaxHeader", b'x', "", bytes.len() as u64).data(&bytes)
    }

    /// The archive with its two blocks of zeros.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

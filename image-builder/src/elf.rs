//! The part of ELF that the builder needs: a kernel module's `.modinfo`, whether a program asks
//! for a dynamic linker, and how far a kernel reaches (elf(5), 64 bits, little-endian).

/// The machine of x86_64, `EM_X86_64`.
const X86_64: u16 = 62;

/// `PT_INTERP`: the program header that names a dynamic linker.
const INTERPRETER: u32 = 3;

/// `PT_LOAD`: what is copied to memory.
const LOAD: u32 = 1;

/// What matters of a program header.
struct Segment {
    kind: u32,
    /// `p_paddr` and `p_memsz` together.
    memory_end: u64,
}

/// An ELF file whose header was found sound.
pub struct Elf<'a>(&'a [u8]);

impl<'a> Elf<'a> {
    /// Looks at the header.
    ///
    /// # Errors
    /// What is not a 64-bit little-endian ELF file for x86_64.
    pub fn new(file: &'a [u8]) -> Result<Self, &'static str> {
        if file.get(..4) != Some(b"\x7fELF") {
            return Err("not an ELF file");
        }
        if file.get(4..6) != Some(&[2, 1]) || number::<2>(file, 18) != Some(X86_64.into()) {
            return Err("not for x86_64");
        }
        Ok(Self(file))
    }

    /// Whether a dynamic linker must start it; `None` when the headers are cut.
    pub fn is_dynamic(&self) -> Option<bool> {
        let segments = self.segments()?;
        Some(segments.iter().any(|segment| segment.kind == INTERPRETER))
    }

    /// Where in a machine's memory the last of its segments ends; `None` when it
    /// has none, or the headers are cut.
    pub fn memory_end(&self) -> Option<u64> {
        let segments = self.segments()?;
        segments.iter().filter(|segment| segment.kind == LOAD).map(|segment| segment.memory_end).max()
    }

    fn segments(&self) -> Option<Vec<Segment>> {
        let table = number::<8>(self.0, 32)?;
        let (size, count) = (number::<2>(self.0, 54)?, number::<2>(self.0, 56)?);
        let segment = |index| {
            let header = usize::try_from(table.checked_add(index * size)?).ok()?;
            let word = |offset: usize| number::<8>(self.0, header.checked_add(offset)?);
            let kind = u32::try_from(number::<4>(self.0, header)?).ok()?;
            Some(Segment { kind, memory_end: word(24)?.checked_add(word(40)?)? })
        };
        (0..count).map(segment).collect()
    }

    /// The bytes of a section, by its name.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let headers = number::<8>(self.0, 40)?;
        let (size, count) = (number::<2>(self.0, 58)?, number::<2>(self.0, 60)?);
        let header = |index: u64| headers.checked_add(index.checked_mul(size)?);
        let names = self.content(header(number::<2>(self.0, 62)?)?)?;
        (0..count).find_map(|index| {
            let header = header(index)?;
            let offset = usize::try_from(number::<4>(self.0, usize::try_from(header).ok()?)?).ok()?;
            let found = names.get(offset..)?.split(|&byte| byte == 0).next()?;
            if found == name.as_bytes() { self.content(header) } else { None }
        })
    }

    /// What the section header at this offset describes.
    fn content(&self, header: u64) -> Option<&'a [u8]> {
        let header = usize::try_from(header).ok()?;
        let offset = usize::try_from(number::<8>(self.0, header.checked_add(24)?)?).ok()?;
        let size = usize::try_from(number::<8>(self.0, header.checked_add(32)?)?).ok()?;
        self.0.get(offset..offset.checked_add(size)?)
    }
}

/// The little-endian number of `SIZE` bytes at an offset.
fn number<const SIZE: usize>(file: &[u8], offset: usize) -> Option<u64> {
    let bytes = file.get(offset..offset.checked_add(SIZE)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// An ELF file with one section and, where asked, a `PT_INTERP`.
#[cfg(test)]
pub fn example(section: &str, content: &[u8], interpreter: bool) -> Vec<u8> {
    let names = [b"\0", section.as_bytes(), b"\0"].concat();
    let content_at = 64 + 56;
    let names_at = content_at + content.len();
    let headers_at = names_at + names.len();
    let mut file = vec![0; content_at];
    let mut put = |offset: usize, bytes: &[u8]| file[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(18, &X86_64.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(40, &(headers_at as u64).to_le_bytes());
    for (offset, value) in [(54, 56_u16), (56, 1), (58, 64), (60, 2), (62, 1)] {
        put(offset, &value.to_le_bytes());
    }
    put(64, &(if interpreter { INTERPRETER } else { LOAD }).to_le_bytes());
    put(64 + 24, &(2_u64 << 20).to_le_bytes());
    put(64 + 40, &(3_u64 << 20).to_le_bytes());
    file.extend([content, &names].concat());
    for (name, offset, size) in [(1_u32, content_at, content.len()), (0, names_at, names.len())] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        file.extend(header);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_found_by_its_name() {
        let file = example(".modinfo", b"name=x\0", false);
        let elf = Elf::new(&file).unwrap();
        assert_eq!(elf.section(".modinfo"), Some(&b"name=x\0"[..]));
        assert_eq!(elf.section(".text"), None);
    }

    #[test]
    fn a_program_with_an_interpreter_is_dynamic() {
        for dynamic in [false, true] {
            let file = example(".x", b"", dynamic);
            assert_eq!(Elf::new(&file).unwrap().is_dynamic(), Some(dynamic));
        }
    }

    #[test]
    fn a_kernel_reaches_as_far_as_its_last_segment() {
        assert_eq!(Elf::new(&example(".x", b"", false)).unwrap().memory_end(), Some(5 << 20));
        assert_eq!(Elf::new(&example(".x", b"", true)).unwrap().memory_end(), None);
    }

    #[test]
    fn a_cut_or_noisy_file_is_refused_and_never_read_beyond_its_end() {
        assert!(Elf::new(b"#!/bin/sh\n").is_err_and(|words| words == "not an ELF file"));
        let file = example(".modinfo", b"name=x\0", false);
        for length in 0..file.len() {
            if let Ok(elf) = Elf::new(&file[..length]) {
                assert!(matches!(elf.section(".modinfo"), None | Some(b"name=x\0")), "length {length}");
                let _ = (elf.is_dynamic(), elf.memory_end());
            }
        }
        for byte in 0..64 {
            let mut noisy = file.clone();
            noisy[byte] = 0xff;
            if let Ok(elf) = Elf::new(&noisy) {
                let _ = (elf.section(".modinfo"), elf.is_dynamic(), elf.memory_end());
            }
        }
    }
}

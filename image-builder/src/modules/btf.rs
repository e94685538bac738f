//! A module's BTF, descriptions of its types for BPF programs and debuggers, left out:
//! a tenth of the module, which the kernel would check whenever it loads it.
//!
//! Only the section's bytes are cut, in whole units of the greatest alignment, so that
//! everything behind moves as it was; an empty section is none to the kernel. A module
//! that offers functions to BPF (`.BTF_ids`) keeps its types: the kernel would miss them.

const HEADER: usize = 64;
/// A section header: name (4), type (4), flags, address, offset, size (8 each), …
const SECTION: usize = 64;
const OFFSET: usize = 24;
const SIZE: usize = 32;
/// No section of a module is aligned to more.
const ALIGNED: u64 = 64;

/// The module without its types; what cannot be read is given back as it is.
pub fn without_types(mut module: Vec<u8>) -> Vec<u8> {
    cut(&mut module);
    module
}

fn cut(module: &mut Vec<u8>) -> Option<()> {
    let table = number(module, 0x28)?;
    let count = u64::from(short(module, 0x3c)?);
    let headers: Vec<usize> = (0..count).map(|index| table as usize + index as usize * SECTION).collect();
    let names = number(module, headers.get(usize::from(short(module, 0x3e)?))? + OFFSET)? as usize;
    let named = |header: usize, wanted: &str| -> Option<bool> {
        let at = names + u32::from_le_bytes(module.get(header..header + 4)?.try_into().ok()?) as usize;
        let found = module.get(at..at + wanted.len() + 1)?;
        Some(found[..wanted.len()] == *wanted.as_bytes() && found[wanted.len()] == 0)
    };
    let find = |wanted| headers.iter().copied().find(|&header| named(header, wanted) == Some(true));
    if find(".BTF_ids").is_some() {
        return None;
    }
    let types = find(".BTF")?;
    let (start, size) = (number(module, types + OFFSET)?, number(module, types + SIZE)?);
    let gone = size - size % ALIGNED;
    let end = start.checked_add(gone).filter(|&end| end <= module.len() as u64)?;
    for header in headers {
        let offset = number(module, header + OFFSET)?;
        if offset > start {
            put(module, header + OFFSET, offset.checked_sub(gone)?)?;
        }
    }
    put(module, types + SIZE, 0)?;
    put(module, 0x28, if table > start { table.checked_sub(gone)? } else { table })?;
    module.drain(start as usize..end as usize);
    Some(())
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(..HEADER)?;
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, value: u64) -> Option<()> {
    bytes.get_mut(at..at.checked_add(8)?)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[u8] = b"\0.BTF\0.BTF_ids\0.symtab\0.shstrtab\0";

    /// A module of these sections: name's offset in [`NAMES`] and content.
    fn module(sections: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let mut headers = vec![0; SECTION];
        for (name, content) in sections {
            let mut header = [0; SECTION];
            header[..4].copy_from_slice(&name.to_le_bytes());
            put(&mut header, OFFSET, bytes.len() as u64).unwrap();
            put(&mut header, SIZE, content.len() as u64).unwrap();
            headers.extend(header);
            bytes.extend(*content);
            bytes.resize(bytes.len().next_multiple_of(64), 0);
        }
        let table = bytes.len() as u64;
        put(&mut bytes, 0x28, table).unwrap();
        bytes[0x3c] = sections.len() as u8 + 1;
        bytes[0x3e] = sections.len() as u8;
        [bytes, headers].concat()
    }

    fn contents(module: &[u8]) -> Vec<Vec<u8>> {
        let table = number(module, 0x28).unwrap() as usize;
        let part = |index: usize| {
            let header = table + index * SECTION;
            let (at, size) =
                (number(module, header + OFFSET).unwrap(), number(module, header + SIZE).unwrap());
            module[at as usize..(at + size) as usize].to_vec()
        };
        (1..usize::from(module[0x3c])).map(part).collect()
    }

    #[test]
    fn the_types_are_cut_and_nothing_else() {
        let types = [7; 1000];
        let whole = module(&[(15, b"code"), (1, &types), (15, b"symbols"), (23, NAMES)]);
        let cut = without_types(whole.clone());
        assert_eq!(whole.len() - cut.len(), 960);
        assert_eq!(contents(&cut), [b"code".to_vec(), Vec::new(), b"symbols".to_vec(), NAMES.to_vec()]);
        assert_eq!(without_types(cut.clone()), cut, "once more");
    }

    #[test]
    fn what_offers_functions_to_bpf_or_cannot_be_read_is_left_as_it_is() {
        let offers = module(&[(1, &[7; 1000]), (6, b"ids"), (23, NAMES)]);
        assert_eq!(without_types(offers.clone()), offers);
        let whole = module(&[(1, &[7; 1000]), (23, NAMES)]);
        for length in 0..whole.len() {
            let part = whole[..length].to_vec();
            let _ = without_types(part);
        }
        assert_eq!(without_types(b"module".to_vec()), b"module");
    }
}

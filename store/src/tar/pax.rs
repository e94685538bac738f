//! Records of a PAX extended header: `LENGTH KEY=VALUE\n`.

use crate::erofs::Time;
use std::collections::BTreeMap;

/// What the records before an entry say of it.
#[derive(Default)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Time>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sparse: Sparse,
}

/// The `GNU.sparse.` records.
#[derive(Default)]
pub(super) struct Sparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Offsets and lengths in turn (versions 0.0 and 0.1).
    pub map: Vec<u64>,
}

impl Records {
    /// Takes the records of one header.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        for record in split(bytes)? {
            let (key, value) = record;
            self.take(key, value).map_err(|why| format!("PAX record {}: {why}", key.escape_ascii()))?;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link = text(value)?,
            b"size" => self.size = optional(value, whole)?,
            b"uid" => self.uid = optional(value, whole)?,
            b"gid" => self.gid = optional(value, whole)?,
            b"mtime" => self.mtime = optional(value, time)?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(name, value)?;
                }
                // Other keys say nothing that a file system keeps, and POSIX wants unknown ones passed over.
            }
        }
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        match name {
            b"major" => self.major = Some(whole(value)?),
            b"minor" => self.minor = Some(whole(value)?),
            b"name" => self.name = text(value)?,
            b"size" | b"realsize" => self.real_size = Some(whole(value)?),
            b"numblocks" => {}
            b"offset" | b"numbytes" => {
                if self.map.len() % 2 != usize::from(name == b"numbytes") {
                    return Err("offsets and lengths do not take turns".into());
                }
                self.map.push(whole(value)?);
            }
            b"map" => {
                let numbers = value.split(|&byte| byte == b',').filter(|number| !number.is_empty());
                self.map = numbers.map(whole).collect::<Result<_, _>>()?;
            }
            _ => return Err("unknown".into()),
        }
        Ok(())
    }
}

/// Key of a global header's record that would change entries.
pub(super) fn changes_entries(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let changes = |key: &[u8]| {
        matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime")
            || key.starts_with(b"SCHILY.xattr.")
            || key.starts_with(b"GNU.sparse.")
    };
    Ok(split(bytes)?.into_iter().map(|(key, _)| key).find(|key| changes(key)).map(<[u8]>::to_vec))
}

fn split(mut bytes: &[u8]) -> Result<Vec<Record<'_>>, String> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = split_first(bytes).ok_or("a PAX header is malformed")?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

fn split_first(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = whole(&bytes[..space]).ok()?;
    if length > bytes.len() || length < space + 3 || bytes[length - 1] != b'\n' {
        return None;
    }
    let record = &bytes[space + 1..length - 1];
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some(((&record[..equals], &record[equals + 1..]), &bytes[length..]))
}

/// An empty value takes an earlier one back.
fn optional<T>(value: &[u8], parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<Option<T>, String> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, String> {
    optional(value, |value| match value.contains(&0) {
        true => Err("holds a zero byte".into()),
        false => Ok(value.to_vec()),
    })
}

/// Decimal digits and nothing else.
pub(super) fn whole<T: std::str::FromStr>(digits: &[u8]) -> Result<T, String> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("\"{}\" is not a number in range", digits.escape_ascii()))
}

/// `[-]SECONDS[.FRACTION]`; a negative time's fraction counts backwards.
fn time(value: &[u8]) -> Result<Time, String> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |value| (true, value));
    let dot = value.iter().position(|&byte| byte == b'.').unwrap_or(value.len());
    let seconds: i64 = whole(&value[..dot])?;
    let fraction = value.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err("is not a time".into());
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_may_be_negative() {
        let at = |seconds, nanoseconds| Ok(Time { seconds, nanoseconds });
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.1234567899"), at(12, 123_456_789));
        assert_eq!(time(b"-1.25"), at(-2, 750_000_000));
        assert!(time(b"1.x").is_err() && time(b"").is_err() && time(b"+1").is_err());
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [&b"5 a=b"[..], b"99 a=b\n", b"x a=b\n", b"4 ab\n", b"0 a=b\n", b"-6 a=b\n", b" \n"] {
            assert!(Records::default().read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        let mut records = Records::default();
        records.read(b"9 path=x\n17 SCHILY.xattr.a=\n").unwrap_err();
        records.read(b"9 path=x\n19 SCHILY.xattr.a=\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"x"[..]));
    }
}

//! A header block's fields.

use super::BLOCK;

/// A header block.
pub(super) struct Header(pub [u8; BLOCK]);

/// Which of the dialects a header is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V7,
    Ustar,
    Gnu,
}

impl Header {
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// True when the checksum fits; some old archivers summed signed bytes.
    pub fn is_valid(&self) -> bool {
        let Some(stored) = octal(&self.0[148..156]) else {
            return false;
        };
        let blanked = |(at, &byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { byte };
        let unsigned: i64 = self.0.iter().enumerate().map(blanked).map(i64::from).sum();
        let signed: i64 = self.0.iter().enumerate().map(blanked).map(|byte| i64::from(byte as i8)).sum();
        stored as i64 == unsigned || stored as i64 == signed
    }

    pub fn dialect(&self) -> Dialect {
        match &self.0[257..265] {
            b"ustar  \0" => Dialect::Gnu,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    pub fn kind(&self) -> u8 {
        self.0[156]
    }

    pub fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = if self.dialect() == Dialect::Ustar { text(&self.0[345..500]) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    /// The number in a field, named for messages.
    fn number(&self, name: &str, from: usize, length: usize) -> Result<i64, String> {
        number(&self.0[from..from + length]).ok_or_else(|| format!("{name} is not a number"))
    }

    fn unsigned<T: TryFrom<i64>>(&self, name: &str, from: usize, length: usize) -> Result<T, String> {
        let value = self.number(name, from, length)?;
        T::try_from(value).map_err(|_| format!("{name} {value} is out of range"))
    }

    pub fn mode(&self) -> Result<u16, String> {
        Ok((self.number("mode", 100, 8)? & 0o7777) as u16)
    }

    pub fn uid(&self) -> Result<u32, String> {
        self.unsigned("uid", 108, 8)
    }

    pub fn gid(&self) -> Result<u32, String> {
        self.unsigned("gid", 116, 8)
    }

    pub fn size(&self) -> Result<u64, String> {
        self.unsigned("size", 124, 12)
    }

    pub fn mtime(&self) -> Result<i64, String> {
        self.number("mtime", 136, 12)
    }

    pub fn device(&self) -> Result<(u32, u32), String> {
        if self.dialect() == Dialect::V7 {
            return Err("a device without numbers".into());
        }
        Ok((self.unsigned("major device number", 329, 8)?, self.unsigned("minor device number", 337, 8)?))
    }
}

/// A field up to its first zero byte.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits, or a binary number of two's complement when the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field).and_then(|value| i64::try_from(value).ok());
    }
    let negative = first & 0x40 != 0;
    let start = i128::from(first & 0x3f) - if negative { 0x40 } else { 0 };
    let value = rest
        .iter()
        .try_fold(start, |value, &byte| value.checked_mul(256).map(|value| value + i128::from(byte)))?;
    i64::try_from(value).ok()
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

//! D-Bus's wire format (D-Bus Specification, "Marshaling"), little-endian, as far as
//! systemd is spoken to with it.
//!
//! A number is aligned to its size, a struct to 8, all counted from the message's begin.
//! Bodies begin at a multiple of 8, so they are made as if they stood alone.

/// What a variant holds: the types of systemd's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    Int32(i32),
    /// `u`
    Uint32(u32),
    /// `x`
    Int64(i64),
    /// `t`
    Uint64(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Numbers(Vec<u32>),
    /// `a(st)`, one of them
    Device(String, u64),
}

/// A name and its value: `(sv)`.
pub type Property = (String, Value);

/// What is being written.
#[derive(Debug, Default)]
pub struct Out(pub Vec<u8>);

/// An array that is being written: where its length stands, and where its elements begin.
#[derive(Debug)]
#[must_use]
pub struct Array(usize, usize);

impl Out {
    /// Fills up with zeros.
    pub fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// `u`
    pub fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    /// `t`
    pub fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_le_bytes());
    }

    /// `s` and `o`
    pub fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// `g`
    pub fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// Begins an array, whose elements are aligned so. Its length does not count the zeros
    /// before the first of them.
    pub fn array(&mut self, align: usize) -> Array {
        self.u32(0);
        let length = self.0.len() - 4;
        self.align(align);
        Array(length, self.0.len())
    }

    /// Ends it.
    pub fn end(&mut self, Array(length, first): Array) {
        let bytes = (self.0.len() - first) as u32;
        self.0[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
    }

    /// `a(sv)`
    pub fn properties(&mut self, properties: &[Property]) {
        let array = self.array(8);
        for (name, value) in properties {
            self.align(8);
            self.text(name);
            self.variant(value);
        }
        self.end(array);
    }

    /// `v`
    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(is) => self.u32((*is).into()),
            Value::Int32(number) => self.u32(number.cast_unsigned()),
            Value::Uint32(number) => self.u32(*number),
            Value::Int64(number) => self.u64(number.cast_unsigned()),
            Value::Uint64(number) => self.u64(*number),
            Value::Text(text) => self.text(text),
            Value::Texts(list) => {
                let array = self.array(4);
                list.iter().for_each(|text| self.text(text));
                self.end(array);
            }
            Value::Bytes(bytes) => {
                let array = self.array(1);
                self.0.extend(bytes);
                self.end(array);
            }
            Value::Numbers(list) => {
                let array = self.array(4);
                list.iter().for_each(|number| self.u32(*number));
                self.end(array);
            }
            Value::Device(path, number) => {
                let array = self.array(8);
                self.text(path);
                self.u64(*number);
                self.end(array);
            }
        }
    }
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::Int32(_) => "i",
            Self::Uint32(_) => "u",
            Self::Int64(_) => "x",
            Self::Uint64(_) => "t",
            Self::Text(_) => "s",
            Self::Texts(_) => "as",
            Self::Bytes(_) => "ay",
            Self::Numbers(_) => "au",
            Self::Device(..) => "a(st)",
        }
    }
}

/// What is being read; `None` is the end, or what cannot be.
#[derive(Debug)]
pub struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    /// From the begin.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    /// Goes past the zeros before what is aligned so.
    pub fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    /// `y`
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// `u`
    pub fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// `s` and `o`
    pub fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()?;
        self.terminated(length as usize)
    }

    /// `g`
    pub fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        self.terminated(length.into())
    }

    fn terminated(&mut self, length: usize) -> Option<&'a str> {
        let text = self.take(length)?;
        self.take(1)?;
        str::from_utf8(text).ok()
    }
}

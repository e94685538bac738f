//! Messages: a header of fields, and a body (D-Bus Specification, "Message Protocol").

use super::wire::{In, Out};
use std::io::{self, Read};

/// Whose method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// Name on the bus.
    pub destination: &'a str,
    /// Path of the object.
    pub path: &'a str,
    /// Of the method.
    pub interface: &'a str,
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `METHOD_RETURN`, `ERROR` or `SIGNAL`, among others.
    pub kind: u8,
    /// The call that it answers.
    pub reply_to: u32,
    /// Name of an error.
    pub error: String,
    /// Name of a signal.
    pub member: String,
    /// What it carries.
    pub body: Vec<u8>,
}

const METHOD_CALL: u8 = 1;
/// The kind of an answer.
pub const METHOD_RETURN: u8 = 2;
/// The kind of a refusal.
pub const ERROR: u8 = 3;
/// The kind of an announcement.
pub const SIGNAL: u8 = 4;

/// Codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Version of the protocol.
const VERSION: u8 = 1;
/// Longest message that is taken: systemd's here are of some hundred bytes.
const LONGEST: usize = 1 << 20;

/// A method call's bytes.
pub fn call(serial: u32, object: &Object<'_>, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Out(vec![b'l', METHOD_CALL, 0, VERSION]);
    out.u32(body.len() as u32);
    out.u32(serial);
    let fields = out.array(8);
    let texts = [
        (PATH, "o", object.path),
        (INTERFACE, "s", object.interface),
        (MEMBER, "s", member),
        (DESTINATION, "s", object.destination),
    ];
    for (code, kind, text) in texts {
        out.align(8);
        out.0.push(code);
        out.signature(kind);
        out.text(text);
    }
    if !signature.is_empty() {
        out.align(8);
        out.0.push(SIGNATURE);
        out.signature("g");
        out.signature(signature);
    }
    out.end(fields);
    out.align(8);
    out.0.extend(body);
    out.0
}

/// Reads one message.
///
/// # Errors
/// Those of reading; `InvalidData` for what is none, or too long.
pub fn read(from: &mut dyn Read) -> io::Result<Message> {
    let mut start = [0; 16];
    from.read_exact(&mut start)?;
    let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    let (body, fields) = (number(4) as usize, number(12) as usize);
    let wrong = io::ErrorKind::InvalidData;
    if (start[0], start[3]) != (b'l', VERSION) || body > LONGEST || fields > LONGEST {
        return Err(wrong.into());
    }
    let mut rest = vec![0; fields.next_multiple_of(8) + body];
    from.read_exact(&mut rest)?;
    let mut message = header(&rest[..fields], start[1]).ok_or(wrong)?;
    message.body = rest.split_off(fields.next_multiple_of(8));
    Ok(message)
}

/// The fields, each a code and a variant. They begin at 16 of the message.
fn header(fields: &[u8], kind: u8) -> Option<Message> {
    let (error, member) = Default::default();
    let mut message = Message { kind, reply_to: 0, error, member, body: Vec::new() };
    let mut fields = In::new(fields);
    while !fields.is_at_end() {
        fields.align(8);
        let code = fields.byte()?;
        match (code, fields.signature()?) {
            (ERROR_NAME, "s") => message.error = fields.text()?.to_owned(),
            (MEMBER, "s") => message.member = fields.text()?.to_owned(),
            (REPLY_SERIAL, "u") => message.reply_to = fields.u32()?,
            (_, "s" | "o") => drop(fields.text()?),
            (_, "u") => drop(fields.u32()?),
            (_, "g") => drop(fields.signature()?),
            _ => return None,
        }
    }
    Some(message)
}

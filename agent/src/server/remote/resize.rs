//! A terminal's sizes, as a client sends them: one JSON object after another,
//! `{"Width":80,"Height":24}`, cut anywhere.

use serde::Deserialize;
use spec::monitor::Size;

/// Longest object that is looked at.
const LONGEST: usize = 1024;

#[derive(Deserialize)]
struct Object {
    #[serde(alias = "Width")]
    width: u16,
    #[serde(alias = "Height")]
    height: u16,
}

/// Reads sizes.
#[derive(Debug, Default)]
pub struct Reader(Vec<u8>);

impl Reader {
    /// Takes in bytes and gives the last size in them. What is no size is skipped.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Size> {
        let mut last = None;
        for &byte in bytes {
            // There is none in another, so what came before is nonsense.
            if byte == b'{' {
                self.0.clear();
            }
            if self.0.len() < LONGEST {
                self.0.push(byte);
            }
            if byte == b'}' {
                if let Ok(Object { width, height }) = serde_json::from_slice(&self.0) {
                    last = Some(Size { rows: height, columns: width });
                }
                self.0.clear();
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_size_counts_however_they_come() {
        let mut reader = Reader::default();
        let size = |columns, rows| Some(Size { rows, columns });
        assert_eq!(reader.push(b"{\"Width\":80,\"Height\":24}\n{\"Width\":81,"), size(80, 24));
        assert_eq!(reader.push(b"\"Height\":25}\n"), size(81, 25));
        assert_eq!(reader.push(br#"{"width":1,"height":2}{"Width":3,"Height":4}"#), size(3, 4));
        assert_eq!(reader.push(b"}{\"Width\":-1,\"Height\":70000}nonsense"), None);
        assert_eq!(reader.push(&[b'x'; 2000]), None);
        assert_eq!(reader.push(br#"{"Width":5,"Height":6}"#), size(5, 6), "nonsense is forgotten");
        let long = [&[b'x'; 2000], &br#"{"Width":7,"Height":8}"#[..]].concat();
        assert_eq!(reader.push(&long), size(7, 8), "wherever it is cut");
    }
}

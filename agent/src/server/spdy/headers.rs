//! Headers of streams [2.6.10]: names and values, compressed by zlib with a dictionary that both
//! sides know; one zlib stream for the whole connection, in each direction.
//!
//! What is sent is not compressed but only wrapped: our answers have no headers, and a compressor
//! takes a quarter of a megabyte.

use super::frame::Wrong;
use flate2::{Decompress, FlushDecompress, Status};

/// Most bytes of the headers of one stream.
const MOST: usize = 16 * 1024;

/// The dictionary's Adler-32, by which a zlib stream names it.
const DICTIONARY: u32 = 0xe3c6_a7c2;

/// Words of the dictionary that are preceded by their lengths.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
    accept-language accept-ranges age allow authorization cache-control connection content-base \
    content-encoding content-language content-length content-location content-md5 content-range \
    content-type date etag expect expires from host if-match if-modified-since if-none-match if-range \
    if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public \
    set-cookie keep-alive origin";

/// What follows them.
const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS.split(' ') {
        bytes.extend((word.len() as u32).to_be_bytes());
        bytes.extend(word.replace('_', " ").bytes());
    }
    bytes.extend(REST.bytes());
    bytes
}

/// Names and values; names in lower case.
pub type Headers = Vec<(String, String)>;

/// Bytes of memory that they take.
pub fn size(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + size_of::<(String, String)>()).sum()
}

/// Reads headers, in the order in which they come over a connection.
#[derive(Debug)]
pub struct Reader {
    inflate: Decompress,
}

impl Default for Reader {
    fn default() -> Self {
        Self { inflate: Decompress::new(true) }
    }
}

impl Reader {
    /// The headers of the next block.
    ///
    /// # Errors
    /// It is no such block, or one of more than 16 KiB.
    pub fn read(&mut self, block: &[u8]) -> Result<Headers, Wrong> {
        parse(&self.inflate(block)?).ok_or_else(|| Wrong("headers that are cut off".into()))
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, Wrong> {
        let mut plain = Vec::with_capacity(1024);
        loop {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let result = self.inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let taken = (self.inflate.total_in() - before_in) as usize;
            block = block.get(taken..).unwrap_or_default();
            match result {
                Err(error) if error.needs_dictionary() == Some(DICTIONARY) => {
                    let set = self.inflate.set_dictionary(&dictionary());
                    set.map_err(|error| Wrong(format!("headers: {error}")))?;
                    continue;
                }
                Err(error) => return Err(Wrong(format!("headers: {error}"))),
                Ok(Status::StreamEnd) => return Err(Wrong("headers that have come to their end".into())),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if plain.len() == plain.capacity() {
                if plain.len() >= MOST {
                    return Err(Wrong(format!("headers of more than {MOST} bytes")));
                }
                plain.reserve(plain.len());
                continue;
            }
            let idle = taken == 0 && self.inflate.total_out() == before_out;
            if block.is_empty() || idle {
                return Ok(plain);
            }
        }
    }
}

fn parse(plain: &[u8]) -> Option<Headers> {
    let (count, mut rest) = plain.split_first_chunk::<4>()?;
    let mut headers = Headers::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (name, after) = text(rest)?;
        let (value, after) = text(after)?;
        headers.push((name.to_ascii_lowercase(), value));
        rest = after;
    }
    Some(headers)
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

/// Writes headers, in the order in which they go over a connection.
#[derive(Debug, Default)]
pub struct Writer {
    begun: bool,
}

impl Writer {
    /// A block without headers.
    pub fn none(&mut self) -> Vec<u8> {
        self.block(&0_u32.to_be_bytes())
    }

    /// A stored block (RFC 1951 3.2.4) of these bytes and an empty one, at which a reader gives out
    /// what it has; at first the zlib stream's head (RFC 1950 2.2) with the dictionary's name.
    fn block(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut block = Vec::with_capacity(16 + plain.len());
        if !std::mem::replace(&mut self.begun, true) {
            block.extend([0x78, 0xbb]);
            block.extend(DICTIONARY.to_be_bytes());
        }
        for part in [plain, &[]] {
            let length = part.len() as u16;
            block.push(0);
            block.extend(length.to_le_bytes());
            block.extend((!length).to_le_bytes());
            block.extend(part);
        }
        block
    }
}

/// What a client does: real compression.
#[cfg(any(test, feature = "fuzz"))]
pub mod client {
    use super::{DICTIONARY, dictionary};
    use flate2::{Compress, Compression, FlushCompress};

    /// Writes headers.
    pub struct Client(Compress);

    impl Default for Client {
        fn default() -> Self {
            let mut compress = Compress::new(Compression::default(), true);
            assert_eq!(compress.set_dictionary(&dictionary()).unwrap(), DICTIONARY);
            Self(compress)
        }
    }

    impl Client {
        /// The next block: names and values.
        pub fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
            let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
            for text in headers.iter().flat_map(|(name, value)| [name, value]) {
                plain.extend((text.len() as u32).to_be_bytes());
                plain.extend(text.bytes());
            }
            self.plain(&plain)
        }

        /// The next block, whatever it is.
        pub fn plain(&mut self, plain: &[u8]) -> Vec<u8> {
            let mut block = Vec::with_capacity(plain.len() + 100);
            self.0.compress_vec(plain, &mut block, FlushCompress::Sync).unwrap();
            block
        }
    }
}

#[cfg(test)]
mod tests {
    use super::client::Client;
    use super::*;

    #[test]
    fn headers_are_read_one_block_after_another() {
        let (mut client, mut reader) = (Client::default(), Reader::default());
        for (value, port) in [("error", "80"), ("data", "80"), ("data", "8080"), ("", "")] {
            let block = client.block(&[("streamType", value), ("port", port)]);
            let expected =
                vec![("streamtype".to_owned(), value.to_owned()), ("port".into(), port.to_owned())];
            assert_eq!(reader.read(&block), Ok(expected));
        }
        let long = "x".repeat(9000);
        assert_eq!(reader.read(&client.block(&[("a", &long)])), Ok(vec![("a".into(), long)]));
    }

    #[test]
    fn headers_that_swell_are_refused() {
        let (mut client, mut reader) = (Client::default(), Reader::default());
        let block = client.block(&[("a", &"x".repeat(1 << 20))]);
        assert!(block.len() < 8192);
        assert!(reader.read(&block).unwrap_err().0.starts_with("headers of more than"));
    }

    #[test]
    fn what_is_written_any_zlib_reads() {
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        for _ in 0..3 {
            assert_eq!(reader.read(&writer.none()), Ok(Headers::new()));
        }
        let block = writer.block(b"\0\0\0\x01\0\0\0\x01a\0\0\0\x01b");
        assert_eq!(reader.read(&block), Ok(vec![("a".into(), "b".into())]));
    }

    #[test]
    fn damaged_headers_do_not_panic() {
        let block = Client::default().block(&[("streamtype", "error"), ("port", "80")]);
        for length in 0..block.len() {
            let _ = Reader::default().read(&block[..length]);
        }
        for place in 0..block.len() {
            for bit in 0..8 {
                let mut damaged = block.clone();
                damaged[place] ^= 1 << bit;
                let _ = Reader::default().read(&damaged);
            }
        }
    }
}

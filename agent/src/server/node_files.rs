//! `/logs/`: the node's own logs, which are the files below `/var/log`, in the form of Go's file server.
//!
//! A link is followed as long as it stays below: what was opened is asked where it is, so whoever may write there, a
//! pod by its `hostPath` say, leads nobody to another file of the node's.

use super::answer::{Answer, stream, text, with_type};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};
use sys::regular::open_found;
use tokio::task::spawn_blocking;

/// Where they are.
const ROOT: &str = "/var/log";

/// Bytes that are read at once.
const PIECE: u64 = 64 << 10;

/// What a path leads to.
enum Found {
    /// Names in it; those of folders end with a slash.
    Folder(Vec<String>),
    /// With its length.
    File(File, u64),
}

/// Answers `/logs/PATH`; `range` is the header of that name.
pub async fn files(path: &str, range: Option<&str>) -> Answer {
    files_of(Path::new(ROOT), path, range).await
}

async fn files_of(root: &Path, path: &str, range: Option<&str>) -> Answer {
    let Some(below) = path.strip_prefix("/logs/") else { return moved("logs/") };
    let missing = || text(StatusCode::NOT_FOUND, "404 page not found\n");
    let Some(name) = decoded(below) else { return missing() };
    let (root, at) = (root.to_owned(), name.clone());
    match spawn_blocking(move || find(&root, &at)).await.map_err(io::Error::other).flatten() {
        Ok(Found::Folder(_)) if !(name.is_empty() || name.ends_with('/')) => {
            let last = below.rsplit('/').next().unwrap_or_default();
            moved(&format!("{last}/"))
        }
        Ok(Found::Folder(names)) => with_type(StatusCode::OK, "text/html; charset=utf-8", listing(&names)),
        Ok(Found::File(file, length)) => content(file, length, range),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            text(StatusCode::FORBIDDEN, "403 Forbidden\n")
        }
        Err(_) => missing(),
    }
}

fn moved(to: &str) -> Answer {
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, "");
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

/// Opens what lies below a folder.
fn find(root: &Path, name: &str) -> io::Result<Found> {
    if Path::new(name).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let root = fs::canonicalize(root)?;
    // Found, and not opened yet: that alone does something to a device or a FIFO.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH).open(root.join(name))?;
    let at = format!("/proc/self/fd/{}", file.as_raw_fd());
    if !fs::read_link(&at)?.starts_with(&root) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(Found::File(open_found(&file, File::options().read(true))?, metadata.len()));
    }
    if !metadata.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let entry = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        Some(if is_folder { name + "/" } else { name })
    };
    let mut names: Vec<String> = fs::read_dir(at)?.flatten().filter_map(entry).collect();
    names.sort();
    Ok(Found::Folder(names))
}

fn listing(names: &[String]) -> String {
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        let (link, name) = (encoded(name), escaped(name));
        page.push_str(&format!("<a href=\"{link}\">{name}</a>\n"));
    }
    page + "</pre>\n"
}

/// A file, or the part of it that is asked for.
fn content(file: File, length: u64, range: Option<&str>) -> Answer {
    let part = match range.map(|range| part(range, length)) {
        Some(Some(Ok(part))) => Some(part),
        Some(Some(Err(()))) => return text(StatusCode::RANGE_NOT_SATISFIABLE, "invalid range\n"),
        Some(None) | None => None,
    };
    let (first, end) = part.unwrap_or((0, length));
    let pieces = futures::stream::unfold((file, first, end), async |(mut file, at, end)| {
        let read = spawn_blocking(move || {
            let mut piece = Vec::new();
            file.seek(SeekFrom::Start(at))?;
            (&file).take(PIECE.min(end - at)).read_to_end(&mut piece)?;
            io::Result::Ok((piece, file))
        });
        let (piece, file) = read.await.ok()?.ok().filter(|(piece, _)| !piece.is_empty())?;
        let next = at + piece.len() as u64;
        Some((Bytes::from(piece), (file, next, end)))
    });
    let mut answer = stream("text/plain; charset=utf-8", pieces);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (end - first).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if part.is_some() {
        let words = format!("bytes {first}-{}/{length}", end - 1);
        headers.extend(HeaderValue::from_str(&words).ok().map(|words| (header::CONTENT_RANGE, words)));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    answer
}

/// `bytes=FIRST-LAST` (RFC 9110, 14.2) as where it begins and ends; an error when the file has none of it. Several at
/// once, and other units, are as if nothing was asked for.
fn part(range: &str, length: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, end) = if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        (length.saturating_sub(count), length)
    } else {
        let end =
            if last.is_empty() { length } else { last.parse::<u64>().ok()?.saturating_add(1).min(length) };
        (first.parse().ok()?, end)
    };
    Some(if first < end { Ok((first, end)) } else { Err(()) })
}

/// A path without its escapes.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// A name as it stands in a link.
fn encoded(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(one).collect()
}

/// A text as it stands in a page.
fn escaped(text: &str) -> String {
    let one = |sign: char| match sign {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&#34;".to_owned(),
        '\'' => "&#39;".to_owned(),
        sign => sign.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::os::unix::fs::symlink;

    async fn told(root: &Path, path: &str, range: Option<&str>) -> (u16, String, String) {
        let answer = files_of(root, path, range).await;
        let header = |name| answer.headers().get(name).and_then(|own| own.to_str().ok()).map(str::to_owned);
        let header = header(header::LOCATION).or_else(|| header(header::CONTENT_RANGE)).unwrap_or_default();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, header, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn files_below_a_folder_are_read_and_no_others() {
        let base = std::env::temp_dir().join(format!("skerry-node-files-{}", std::process::id()));
        let root = base.join("log");
        fs::create_dir_all(root.join("pods/a b")).unwrap();
        fs::write(root.join("pods/a b/0.log"), "0123456789").unwrap();
        fs::write(root.join("<x>"), "").unwrap();
        fs::write(base.join("secret"), "s").unwrap();
        symlink(root.join("pods/a b/0.log"), root.join("link")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let get = async |path: &str| told(&root, path, None).await;
        assert_eq!(get("/logs").await.1, "logs/");
        let (status, _, page) = get("/logs/").await;
        assert_eq!(status, 200);
        assert!(page.contains("<a href=\"%3Cx%3E\">&lt;x&gt;</a>\n"), "{page}");
        assert!(page.contains("<a href=\"pods/\">pods/</a>\n"), "{page}");
        assert_eq!(get("/logs/pods/a%20b").await, (301, "a%20b/".into(), String::new()));
        assert_eq!(get("/logs/pods/a%20b/0.log").await.2, "0123456789");
        assert_eq!(get("/logs/link").await.2, "0123456789", "a link that stays below");
        for (path, status) in [
            ("/logs/none", 404),
            ("/logs/out", 403),
            ("/logs/fifo", 403),
            ("/logs/../secret", 404),
            ("/logs/%2e%2e/secret", 404),
            ("/logs//etc/passwd", 404),
            ("/logs/%zz", 404),
            ("/logs/a%00b", 404),
        ] {
            assert_eq!(get(path).await.0, status, "{path}");
        }
        for (range, status, of, body) in [
            ("bytes=2-4", 206, "bytes 2-4/10", "234"),
            ("bytes=7-", 206, "bytes 7-9/10", "789"),
            ("bytes=-3", 206, "bytes 7-9/10", "789"),
            ("bytes=5-99", 206, "bytes 5-9/10", "56789"),
            ("bytes=10-", 416, "", "invalid range\n"),
            ("bytes=0-1,3-4", 200, "", "0123456789"),
            ("lines=1-2", 200, "", "0123456789"),
        ] {
            let expected = (status, of.to_owned(), body.to_owned());
            assert_eq!(told(&root, "/logs/link", Some(range)).await, expected, "{range}");
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[tokio::test]
    async fn a_long_file_is_read_in_pieces() {
        let root = std::env::temp_dir().join(format!("skerry-node-file-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("long"), "x".repeat(200_000)).unwrap();
        assert_eq!(told(&root, "/logs/long", None).await.2.len(), 200_000);
        fs::remove_dir_all(root).unwrap();
    }
}

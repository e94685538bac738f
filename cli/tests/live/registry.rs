//! A registry on the node, with one image, that takes what is pushed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What is pushed is taken and forgotten: no layer is ever there already. A process of its own, since
/// a test's thread, in namespaces of its own, cannot have others beside it.
const SERVER: &str = r#"
import http.server, json, sys

layout, known = sys.argv[1:]

def blob(digest):
    return open(f"{layout}/blobs/sha256/{digest.removeprefix('sha256:')}", "rb").read()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        place = self.path.removeprefix("/v2/").split("/")
        if place == [""]:
            return self.answer(200)
        name, kind, digest = place
        if name.startswith("secret"):
            return self.answer(401)
        if name != known or (kind == "blobs" and self.command == "HEAD"):
            return self.answer(404)
        if kind == "blobs":
            return self.answer(200, blob(digest))
        if digest == "latest":
            digest = json.load(open(f"{layout}/index.json"))["manifests"][0]["digest"]
        kind = "application/vnd.oci.image.manifest.v1+json"
        self.answer(200, blob(digest), Content_Type=kind, Docker_Content_Digest=digest)

    do_HEAD = do_GET

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(202, Location=self.path.split("?")[0].rstrip("/") + "/1")

    def do_PATCH(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        last = self.headers["Content-Range"].split("-")[1]
        self.answer(202, Location=self.path, Range=f"0-{last}")

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(201)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 5000), Handler)
print("ready", flush=True)
server.serve_forever()
"#;

/// A registry that serves until this is dropped; the test's place does not end before.
pub struct Registry(Child);

/// Where it is.
pub const HOST: &str = "127.0.0.1:5000";

impl Registry {
    /// One that has this image of an archive under `NAME:latest`.
    pub fn of(name: &str, archive: &Path) -> Self {
        let layout = format!("/run/registry/{name}");
        fs::create_dir_all("/run/registry").unwrap();
        let (from, to) = (format!("docker-archive:{}", archive.display()), format!("oci:{layout}:latest"));
        let copied = Command::new("skopeo").args(["copy", "--quiet", &from, &to]).output().unwrap();
        assert!(copied.status.success(), "{copied:?}");
        let mut server = Command::new("python3");
        let mut server = server.args(["-c", SERVER, &layout, name]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(server)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

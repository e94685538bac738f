//! `skerry-image build` as a user runs it, with a kernel and programs that are just real
//! enough for it: no root, no network, no apt.

use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const WRITTEN: [&str; 5] =
    ["initramfs-memory.cpio", "initramfs.cpio", "manifest.toml", "root.erofs", "vmlinuz"];

/// A folder with a recipe and all that it names, gone with this value.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("skerry-image-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let workshop = Self(folder);
        workshop.put("vmlinuz", &kernel());
        workshop.put("lib/modules/6.1-x/modules.builtin", b"kernel/fs/ext4/ext4.ko\n");
        for (path, modinfo) in [
            ("fs/erofs.ko", "depends=libcrc\0alias=fs-erofs\0"),
            ("lib/libcrc.ko", "depends=\0softdep=pre: ext4 crc32c\0"),
            ("net/virtio-net.ko", "depends=failover\0alias=virtio:d00000001v*\0"),
            ("net/failover.ko", "depends=\0"),
        ] {
            let module = elf(format!("{modinfo}vermagic=6.1-x SMP \0").as_bytes());
            workshop.put(&format!("lib/modules/6.1-x/kernel/{path}"), &module);
        }
        for program in ["init", "skerry-network", "skerry-monitor", "skerry-runtime"] {
            workshop.put(&format!("bin/{program}"), &elf(program.as_bytes()));
        }
        workshop.put("node.toml", b"hostname = \"n1\"\n");
        workshop.put("files/b/deep", b"deep\n");
        workshop.put("files/a", b"#!a\n");
        fs::set_permissions(workshop.path("files/a"), fs::Permissions::from_mode(0o711)).unwrap();
        workshop.recipe("");
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Puts a blob into the OCI layout `web`, and gives a descriptor of it.
    fn blob(&self, kind: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        self.put(&format!("web/blobs/sha256/{digest}"), bytes);
        let kind = format!("application/vnd.oci.image.{kind}");
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{digest}","size":{}}}"#, bytes.len())
    }

    /// An OCI layout with one image of one empty layer; gives the layer's hash.
    fn put_image(&self) -> String {
        let tar = [0; 1024];
        let diff_id = sha256(&tar);
        let layer = self.blob("layer.v1.tar", &tar);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
        );
        let config = self.blob("config.v1+json", config.as_bytes());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}]}}"#);
        let manifest = self.blob("manifest.v1+json", manifest.as_bytes());
        self.put("web/index.json", format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#).as_bytes());
        self.put("web/oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        diff_id
    }

    /// A whole recipe with these lines behind it.
    fn recipe(&self, more: &str) {
        let text = "config = \"node.toml\"\n\
            kernel = { image = \"vmlinuz\", modules = \"lib/modules/6.1-x\" }\n\
            modules = { initramfs = [\"erofs\"], root = [\"virtio_net\", \"ext4\"] }\n\
            [files]\n\
            \"/opt/tree\" = { source = \"files\", uid = 7 }\n\
            \"/etc/hosts\" = { content = \"::1 me\\n\" }\n";
        self.put("recipe.toml", format!("{text}{more}").as_bytes());
    }

    /// Builds into `out`, started by `before` (a shell's words).
    fn build(&self, before: &str) -> Output {
        let program = self.path("skerry-image");
        // Another user may not reach the target folder. A process of its own copies, so that no
        // other test's child holds the copy open for writing ("text file busy").
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_skerry-image")).arg(&program).status();
        assert!(copied.unwrap().success());
        let script = format!("{before} \"$0\" build recipe.toml -o out --bin-dir bin");
        let mut shell = Command::new("sh");
        let shell = shell.arg("-c").arg(script).arg(program).current_dir(&self.0);
        shell.env_remove("SOURCE_DATE_EPOCH").output().unwrap()
    }

    fn built(&self) -> Vec<Vec<u8>> {
        assert_eq!(names(&self.path("out")), WRITTEN);
        WRITTEN.iter().map(|name| fs::read(self.path("out").join(name)).unwrap()).collect()
    }

    /// The error of a build that must fail, one line, with nothing left behind.
    fn refused(&self) -> String {
        let output = self.build("exec");
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(!self.path("out").exists() || names(&self.path("out")).is_empty());
        words
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A bzImage's header: version at 0x280, and 1 MiB to unpack itself.
fn kernel() -> Vec<u8> {
    let mut image = vec![0; 0x400];
    let version = b"6.1-x (me@here) #1 SMP (2026-11-14)\0";
    for (at, bytes) in
        [(0x202, &b"HdrS"[..]), (0x20e, &[0x80, 0]), (0x260, &[0, 0, 0x10, 0]), (0x280, version.as_slice())]
    {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }
    image
}

/// An uncompressed kernel of the same day.
fn vmlinux() -> Vec<u8> {
    let mut file = elf(b"Linux version 6.1-skerry (me@here) #1 SMP Sat Nov 14 00:00:00 UTC 2026\n");
    // One segment, which ends at 5 MiB.
    let mut segment = [0; 56];
    segment[0] = 1;
    segment[26] = 0x20;
    segment[42] = 0x30;
    let at = (file.len() as u64).to_le_bytes();
    file[32..40].copy_from_slice(&at);
    file[54..58].copy_from_slice(&[56, 0, 1, 0]);
    file.extend(segment);
    file
}

/// A static ELF file with a `.modinfo` of this content.
fn elf(content: &[u8]) -> Vec<u8> {
    let names = b"\0.modinfo\0";
    let (content_at, names_at) = (64, 64 + content.len());
    let mut file = vec![0; 64];
    let headers_at = ((names_at + names.len()) as u64).to_le_bytes();
    for (at, bytes) in [
        (0, &b"\x7fELF\x02\x01\x01"[..]),
        (18, &[62]),
        (40, &headers_at),
        (58, &[64, 0, 2, 0, 1, 0]), // size of a section header, their number, the names' section
    ] {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }
    file.extend([content, names].concat());
    for (name, offset, size) in [(1_u8, content_at, content.len()), (0, names_at, names.len())] {
        let mut header = [0; 64];
        header[0] = name;
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        file.extend(header);
    }
    file
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn folder_umask_user_and_times_do_not_show() {
    let first = Workshop::new("same-a");
    let output = first.build("umask 022; exec");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let second = Workshop::new("same-b-elsewhere");
    assert!(second.build("umask 077; exec").status.success());
    assert!(first.built() == second.built(), "another folder and umask show");

    // Whoever runs the test owns what it makes.
    let me = std::os::unix::fs::MetadataExt::uid(&fs::metadata(first.path("vmlinuz")).unwrap());
    let third = Workshop::new("same-c");
    let output = if me == 0 {
        Command::new("chown").args(["-R", "65534:65534"]).arg(&third.0).status().unwrap();
        third.build("exec setpriv --reuid 65534 --regid 65534 --clear-groups")
    } else {
        // Not root, so it cannot be anybody else; in a namespace it is root.
        third.build("exec unshare --map-root-user")
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(first.built() == third.built(), "another user shows");
}

#[test]
fn an_image_holds_what_its_recipe_names() {
    let workshop = Workshop::new("holds");
    let output = workshop.build("exec");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let words = text(&output.stdout);
    assert!(words.contains("module libcrc would like crc32c too"), "{words}");
    let built = workshop.built();
    let [memory, initramfs, manifest, root, kernel] = &built[..] else { panic!() };
    assert_eq!(*kernel, fs::read(workshop.path("vmlinuz")).unwrap());

    assert!(initramfs.starts_with(b"070701") && memory.starts_with(initramfs));
    assert!(memory.windows(11).any(|bytes| bytes == b"root.erofs\0"));
    let early = text(initramfs);
    assert!(
        early.contains("kernel/fs/erofs.ko: kernel/lib/libcrc.ko\nkernel/lib/libcrc.ko:\n"),
        "modules.dep"
    );
    assert!(early.contains("alias fs-erofs erofs\n") && !early.contains("virtio"), "modules.alias");

    assert_eq!(root[1024..1028], [0xe2, 0xe1, 0xf5, 0xe0]);
    assert!(root[1088..].starts_with(b"skerry-root"));
    let late = text(root);
    assert!(late.contains("kernel/net/virtio-net.ko: kernel/net/failover.ko\n"), "modules.dep");
    assert!(late.contains("::1 me\n") && !late.contains("127.0.0.1 localhost"), "the recipe's hosts");
    assert!(late.contains("hostname = \"n1\"\n"), "node.toml");

    let manifest = text(manifest);
    let read = spec::manifest::read(&manifest).unwrap();
    assert_eq!(read.time, 1_794_614_400, "the kernel's day");
    assert_eq!((read.least_memory.disk, read.least_memory.memory), (32, 32));
    for line in ["initramfs = [\"erofs\", \"libcrc\"]", "release = \"6.1-x\"", "\"/opt/tree/b/deep\" = "] {
        assert!(manifest.contains(line), "{line}: {manifest}");
    }
    assert!(late.contains("initramfs = [\"erofs\", \"libcrc\"]") && !late.contains("[outputs"), "its copy");
}

#[test]
fn a_fault_is_one_line_with_its_place_in_the_recipe() {
    let workshop = Workshop::new("fault");
    for (more, words) in [
        ("\"/x\" = { source = \"gone\" }\n", "recipe.toml:7:8: read gone: no such file or directory"),
        (
            "\"/sbin/skerry-monitor\" = { content = \"\" }\n",
            "recipe.toml:7:26: /sbin/skerry-monitor is already in",
        ),
        ("\"/opt/tree/a/b\" = { content = \"\" }\n", "/opt/tree/a is not a folder"),
        ("[image]\n", "recipe.toml:7:2: unknown field `image`"),
    ] {
        workshop.recipe(more);
        let error = workshop.refused();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn container_images_lie_in_the_roots_own_store() {
    let workshop = Workshop::new("images");
    let diff_id = workshop.put_image();
    workshop.recipe("[images]\nweb = \"web\"\n");
    let output = workshop.build("exec");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let root = text(&fs::read(workshop.path("out/root.erofs")).unwrap());
    for name in [format!("{diff_id}.erofs"), "docker.io%2Flibrary%2Fweb:latest".to_owned()] {
        assert!(root.contains(&name), "{name}");
    }
    let manifest = fs::read_to_string(workshop.path("out/manifest.toml")).unwrap();
    assert!(manifest.contains("[images.\"docker.io/library/web:latest\"]\ndigest = \"sha256:"), "{manifest}");
    assert_eq!(names(&workshop.path("out")), WRITTEN);
}

#[test]
fn an_image_that_is_wrong_or_named_twice_is_refused() {
    let workshop = Workshop::new("wrong-image");
    let diff_id = workshop.put_image();
    workshop.recipe("[images]\nweb = \"gone.tar\"\n");
    assert!(workshop.refused().contains("recipe.toml:8:7: "));
    workshop.recipe("[images]\n\"docker.io/library/web\" = \"web\"\nweb = \"web\"\n");
    assert!(
        workshop
            .refused()
            .contains("recipe.toml:9:7: image web: docker.io/library/web:latest is named twice")
    );
    workshop.put(&format!("web/blobs/sha256/{diff_id}"), &[1; 1024]);
    workshop.recipe("[images]\nweb = \"web\"\n");
    assert!(workshop.refused().contains(&diff_id[..12]));
}

#[test]
fn an_unknown_module_is_refused_with_the_nearest_name() {
    let workshop = Workshop::new("module");
    workshop.put(
        "recipe.toml",
        b"kernel = { image = \"vmlinuz\", modules = \"lib/modules/6.1-x\" }\nmodules.root = [\"virtio-nte\"]\n",
    );
    let error = workshop.refused();
    let words = "recipe.toml:2:17: this kernel has no module virtio_nte, did you mean virtio_net?";
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_node_configuration_and_programs_that_would_fail_on_the_node_are_refused() {
    let workshop = Workshop::new("node");
    workshop.put("node.toml", b"[containers.web]\nimgae = \"x\"\n");
    assert!(workshop.refused().contains("node.toml:2:1: unknown field `imgae`"));
    workshop.put("node.toml", b"");
    workshop.put("bin/skerry-monitor", b"#!/bin/sh\n");
    assert!(workshop.refused().contains("bin/skerry-monitor: not an ELF file"));
    fs::remove_file(workshop.path("bin/init")).unwrap();
    assert!(workshop.refused().contains("read the program bin/init: no such file or directory"));
}

#[test]
fn modules_of_another_kernel_are_refused() {
    let workshop = Workshop::new("release");
    workshop.put("lib/modules/6.1-x/kernel/fs/erofs.ko", &elf(b"depends=\0vermagic=6.2-y SMP \0"));
    assert!(workshop.refused().contains("module erofs is for kernel 6.2-y, not 6.1-x"));
}

#[test]
fn a_kernel_with_everything_built_in_is_told_of_by_what_lies_beside_it() {
    let workshop = Workshop::new("tuned");
    let vmlinux = vmlinux();
    workshop.put("kernel/vmlinux", &vmlinux);
    workshop.put("kernel/modules.builtin", b"kernel/drivers/block/loop.ko\nkernel/net/virtio-net.ko\n");
    let about = |hash: &str| {
        let source = "[source]\npackage = \"linux-source\"\nversion = \"6.1-2\"\nsha256 = \"ab\"\n";
        format!("{source}[outputs.vmlinux]\nsize = 1\nsha256 = \"{hash}\"\n")
    };
    workshop.put("kernel/manifest.toml", about(&sha256(&vmlinux)).as_bytes());
    workshop.put("recipe.toml", b"kernel.image = \"kernel/vmlinux\"\nmodules.root = [\"virtio_net\"]\n");
    let output = workshop.build("exec");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let manifest = fs::read_to_string(workshop.path("out/manifest.toml")).unwrap();
    for line in ["release = \"6.1-skerry\"", "package = \"linux-source\"", "version = \"6.1-2\"", "root = []"]
    {
        assert!(manifest.contains(line), "{line}: {manifest}");
    }
    let read = spec::manifest::read(&manifest).unwrap();
    assert_eq!(read.time, 1_794_614_400, "the kernel's day");
    assert_eq!(read.least_memory.disk, 32, "5 and 16 and 8 MiB, rounded up");
    let initramfs = text(&fs::read(workshop.path("out/initramfs.cpio")).unwrap());
    assert!(initramfs.contains("lib/modules/6.1-skerry/modules.builtin"), "what is built in is not listed");

    workshop.put("kernel/manifest.toml", about("00").as_bytes());
    fs::remove_dir_all(workshop.path("out")).unwrap();
    assert!(
        workshop.refused().contains("kernel/vmlinux is not the vmlinux that kernel/manifest.toml tells of")
    );
}

#[test]
fn source_date_epoch_is_the_images_time() {
    let workshop = Workshop::new("epoch");
    assert!(workshop.build("SOURCE_DATE_EPOCH=86400 exec").status.success());
    let manifest = fs::read_to_string(workshop.path("out/manifest.toml")).unwrap();
    assert!(manifest.contains("time = 86400\ndate = \"1970-01-02T00:00:00Z\"\n"), "{manifest}");
    let output = workshop.build("SOURCE_DATE_EPOCH=soon exec");
    assert!(
        text(&output.stderr).contains("SOURCE_DATE_EPOCH: \"soon\" is not a number of seconds since 1970")
    );
}

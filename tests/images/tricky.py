"""tricky.py BUSYBOX CHECK DIR: writes the layers DIR/1.tar to DIR/3.tar of the image `tricky`."""

import io
import sys
import tarfile

BUSYBOX, CHECK, FOLDER = sys.argv[1:]
NOON = 1735732800  # 2025-01-01 12:00 UTC

# capabilities(7), struct vfs_cap_data of revision 2 with the effective bit:
# CAP_NET_BIND_SERVICE (10) permitted.
NET_BIND = bytes([1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).decode("ascii")


class Layer:
    def __init__(self, number):
        self.tar = tarfile.open(f"{FOLDER}/{number}.tar", "w", format=tarfile.PAX_FORMAT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tar.close()

    def add(self, name, kind, mode, content=b"", owner=0, pax=None, **fields):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.mtime = kind, mode, NOON
        entry.uid = entry.gid = owner
        entry.size = len(content)
        entry.pax_headers = pax or {}
        for field, value in fields.items():
            setattr(entry, field, value)
        self.tar.addfile(entry, io.BytesIO(content))

    def file(self, name, text="", mode=0o644, **fields):
        content = text if isinstance(text, bytes) else text.encode()
        self.add(name, tarfile.REGTYPE, mode, content, **fields)

    def folder(self, name, mode=0o755, **fields):
        self.add(name, tarfile.DIRTYPE, mode, **fields)

    def link(self, name, target):
        self.add(name, tarfile.SYMTYPE, 0o777, linkname=target)

    def hard_link(self, name, target):
        self.add(name, tarfile.LNKTYPE, 0o644, linkname=target)

    def whiteout(self, name):
        folder, _, last = name.rpartition("/")
        self.file(f"{folder}/.wh.{last}" if folder else f".wh.{last}")

    def opaque(self, folder):
        self.file(f"{folder}/.wh..wh..opq")


def first(layer, busybox, check):
    layer.file("check", check, 0o755)
    layer.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n")
    layer.file("etc/group", "root:x:0:\nuser:x:1000:\n")
    layer.folder("home", 0o755)
    layer.folder("home/user", 0o700, owner=1000)
    layer.file("home/user/mine", "mine\n", 0o600, owner=1000)
    layer.file("capable/awk", busybox, 0o755, pax={"SCHILY.xattr.security.capability": NET_BIND})
    layer.file("raised/awk", busybox, 0o4755)
    layer.file("secret", "secret\n", 0o600)

    for name in ("data/kept", "data/gone", "data/again", "folder/one", "folder/two/three"):
        layer.file(name, f"{name} of layer 1\n")
    for name in ("opaque/old", "opaque/sub/old", "becomes-file/inside"):
        layer.file(name, "old\n")
    layer.file("becomes-folder", "old\n")

    layer.file("hard/a", "hard\n")
    layer.hard_link("hard/b", "hard/a")
    layer.hard_link("hard/sub/c", "hard/a")
    layer.link("links/absolute", "/data/kept")
    layer.link("links/relative", "../data/kept")
    layer.link("links/dangling", "/nowhere")
    layer.link("links/loop", "loop")
    layer.link("links/long", "/" + "x" * 200 + "/" + "y" * 200)


def odd(layer):
    layer.file("odd/two words", "1\n")
    layer.file("odd/new\nline", "2\n")
    layer.file("odd/-dash", "3\n")
    layer.file("odd/back\\slash", "4\n")
    layer.file("odd/\u00fcml\u00e4ut", "5\n")
    layer.file("odd/" + "n" * 255, "6\n")
    layer.file("odd/" + "/".join(["deep" * 10] * 12) + "/end", "7\n")
    layer.file("odd/wh.not-a-whiteout", "8\n")
    layer.file("odd/empty", "")
    layer.add("odd/fifo", tarfile.FIFOTYPE, 0o644)
    layer.add("odd/null", tarfile.CHRTYPE, 0o666, devmajor=1, devminor=3)
    layer.folder("odd/sticky", 0o1777)
    layer.folder("odd/setgid", 0o2775)
    layer.file("odd/attributes", "9\n", pax={"SCHILY.xattr.user.skerry": "tricky", "SCHILY.xattr.user.empty": ""})
    layer.file("odd/fraction", "10\n", pax={"mtime": f"{NOON}.123456789"})
    layer.file("odd/far-owner", "11\n", owner=3_000_000)
    for number in range(300):
        layer.file(f"odd/many/{number}", f"{number}\n")


def second(layer):
    layer.whiteout("data/gone")
    layer.whiteout("folder")
    layer.file("data/again", "layer 2\n")
    layer.opaque("opaque")
    layer.file("opaque/new", "new\n")
    layer.file("becomes-file", "file\n")
    layer.folder("becomes-folder")
    layer.file("becomes-folder/inside", "inside\n")
    layer.whiteout("hard/b")
    layer.file("changed-mode/file", "2\n")


def third(layer):
    layer.file("folder/four", "layer 3\n")
    layer.whiteout("data/again")
    layer.file("data/again", "layer 3\n")
    layer.whiteout("never-was")
    layer.folder("changed-mode", 0o711)


with open(BUSYBOX, "rb") as busybox, open(CHECK, "rb") as check, Layer(1) as one:
    first(one, busybox.read(), check.read())
    odd(one)
with Layer(2) as two:
    second(two)
with Layer(3) as three:
    third(three)

"""restricted.py BUSYBOX TAR: writes the second layer of the image `restricted`."""

import io
import sys
import tarfile

# capabilities(7), struct vfs_cap_data of revision 2 with the effective bit: CAP_NET_BIND_SERVICE (10) permitted.
NET_BIND = bytes([1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).decode("ascii")

with open(sys.argv[1], "rb") as file, tarfile.open(sys.argv[2], "w", format=tarfile.PAX_FORMAT) as tar:
    for name, mode, content, owner, pax in [
        ("capable", 0o755, None, 0, {}),
        ("capable/busybox", 0o755, file.read(), 0, {"SCHILY.xattr.security.capability": NET_BIND}),
        ("data", 0o755, None, 65532, {}),
        ("data/page", 0o644, b"of the image\n", 65532, {}),
    ]:
        entry = tarfile.TarInfo(name)
        entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
        entry.mode, entry.size, entry.pax_headers = mode, len(content or b""), pax
        entry.uid = entry.gid = owner
        tar.addfile(entry, io.BytesIO(content or b""))

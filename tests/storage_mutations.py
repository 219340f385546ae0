# SPDX-License-Identifier: Apache-2.0
"""Damage to the files of a collection: by accident, and by someone who recomputes checksums."""

import contextlib
import struct
from uuid import UUID

from trouvaille._sections import blocks
from trouvaille.collection.storage.manifest import current, sign


@contextlib.contextmanager
def resigned(path):
    """Give the bytes of a section file for editing; then recompute its checksums in place."""
    data = bytearray(path.read_bytes())
    (data_end,) = struct.unpack_from("<Q", data, 40)
    yield data
    uuid = UUID(bytes=bytes(data[16:32]))
    table = blocks.table_of(memoryview(bytes(data[:data_end])), uuid).tobytes()
    tail = table + struct.pack("<I", blocks.root(table, uuid))
    path.write_bytes(bytes(data[:data_end]) + tail)


def manifest_body(manifest):
    """Return the part of a manifest's file that its checksum covers."""
    body = manifest[len(b'{"crc32c":"01234567","manifest":') : -len(b"}\n")]
    assert sign(body) == manifest
    return body


def resign_manifest(folder, body):
    """Replace the current manifest's body, and what CURRENT says of it."""
    name = (folder / "CURRENT").read_text().split()[0]
    (folder / name).write_bytes(sign(body))
    (folder / "CURRENT").write_bytes(current(sign(body), name))

"""Writes TensorFlow checkpoints of both formats by hand, so that a test can write what TensorFlow never would."""

import gzip
import io
import struct
import tarfile

import numpy as np

from keras_inception.convert import names
from keras_inception.convert.crc32c import masked_crc32c
from tests.caffe_files import field, varint

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries with their keys shortened by what they share with the key before; one place to restart."""
    out, last = b"", b""
    for key, value in entries:
        shared = next((n for n, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(len(last), len(key)))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack("<2I", 0, 1)


def sealed(content: bytes, compression: int = 0) -> bytes:
    content += bytes([compression])
    return content + struct.pack("<I", masked_crc32c(content))


def handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def table(blocks: list[bytes], handles=None, compression: int = 0, magic: bytes = MAGIC) -> bytes:
    """A table of the contents of data blocks; `handles` replaces what the index says about them."""
    out, found = b"", []
    for content in blocks:
        found.append((len(out), len(content)))
        out += sealed(content, compression)
    meta = len(out)
    out += sealed(block([]))
    index = block([(b"\xff%06d" % place, handle(*where)) for place, where in enumerate(handles or found)])
    footer = handle(meta, 8) + handle(len(out), len(index))
    return out + sealed(index) + footer.ljust(40, b"\0") + magic


def shape_proto(shape) -> bytes:
    return b"".join(field(2, field(1, size)) for size in shape)


def first_entries(arrays: dict[str, np.ndarray], **edits) -> list[tuple[bytes, bytes]]:
    """The entries of a checkpoint of the first format. `edits`: the messages of one variable replaced."""
    meta, entries = b"", []
    for name, array in sorted(arrays.items()):
        whole = field(1, b"") * array.ndim
        number = {"f": 5, "i": 10}[array.dtype.kind]
        described = field(1, name) + field(2, shape_proto(array.shape)) + field(3, {5: 1, 10: 9}[number])
        meta += field(1, described + field(4, whole))
        values = array.astype("<f4").tobytes() if number == 5 else b"".join(map(varint, array.ravel().tolist()))
        saved = field(1, name) + field(2, whole) + field(3, field(number, values))
        entries.append((b"\0" + name.encode(), field(2, saved)))
    return [(b"", field(1, meta)), *entries]


def first_format(arrays: dict[str, np.ndarray]) -> bytes:
    return table([block(first_entries(arrays))])


def bundle_entry(dtype, shape, offset, size, crc, shard=0, extra: bytes = b"") -> bytes:
    found = field(1, dtype) + field(2, shape_proto(shape)) + field(3, shard) + field(4, offset) + field(5, size)
    return found + varint(6 << 3 | 5) + struct.pack("<I", crc) + extra


def second_entries(arrays: dict[str, np.ndarray]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The entries of an index of the second format, and the data file."""
    entries, data = [(b"", field(1, 1) + field(3, field(1, 1)))], b""
    for name, array in sorted(arrays.items()):
        content = array.tobytes()
        dtype = {"f": 1, "i": 9}[array.dtype.kind]
        entry = bundle_entry(dtype, array.shape, len(data), len(content), masked_crc32c(content))
        entries.append((name.encode(), entry))
        data += content
    return entries, data


def toy_variables(classes: int = 3) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Random variables under TF-slim's names, and the same under ours as they should be read."""
    random = np.random.default_rng(0)
    theirs, ours = {"global_step": np.array(7, np.int64)}, {}
    for row in names.TABLE:
        if row.slim is None:
            continue
        if row.layer == "loss3_classifier":
            parts = {"weights": ("kernel", (1, 1, 2, classes)), "biases": ("bias", (classes,))}
        else:
            shape = (2, 3, 3, 2) if row.layer == "conv1_7x7_s2" else (1, 1, 1, 2)
            parts = {"weights": ("kernel", shape)}
            parts.update({f"BatchNorm/{part}": (part, (2,)) for part in ("beta", "moving_mean", "moving_variance")})
        for part, (variable, shape) in parts.items():
            array = random.normal(size=shape).astype(np.float32)
            array = abs(array) if variable == "moving_variance" else array
            theirs[f"{row.slim}/{part}"] = array
            layer = f"{row.layer}_bn" if part.startswith("BatchNorm") else row.layer
            ours[f"{layer}/{variable}"] = array[0, 0] if layer == "loss3_classifier" and variable == "kernel" else array
    return theirs, ours


def tar(members: list[tuple[str, bytes]], **attributes) -> bytes:
    """A tar archive; `attributes` are set on the header of the last member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=attributes.pop("format", tarfile.USTAR_FORMAT)) as archive:
        for place, (name, content) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if place == len(members) - 1:
                for attribute, value in attributes.items():
                    setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tar_gz(members: list[tuple[str, bytes]], **attributes) -> bytes:
    return gzip.compress(tar(members, **attributes), mtime=0)

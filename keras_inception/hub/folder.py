"""The published form of a model: a folder of arrays, JSON and a card, the same on disk and on the Hub."""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re
import stat

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import serialization

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "keras_inception.json", "README.md"
# Keras' own files. The first is also how we keep the architecture of a model that is more than a GoogLeNet.
ARCHITECTURE, KERAS_FILES = "config.json", ("config.json", "metadata.json", "model.weights.h5")
# The largest JSON or card that is read: a network of some ten thousand layers, or the names of a million classes.
MAX_TEXT = 16 << 20
# The largest file that a JSON may speak of.
MAX_BYTES = 1 << 40
_MAX_NUMBER = 1 << 63
KINDS = ("GoogLeNet", "NetworkInNetwork", "functional", "detector")

# The files of a detector.
_PART = re.compile(
    rf"((classifier|multibox)-[0-9]{{1,3}}\.({re.escape(WEIGHTS)}|{re.escape(CONFIG)}|{re.escape(ARCHITECTURE)})"
    rf"|regression\.{re.escape(WEIGHTS)})"
)
MAX_PARTS = 256
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """What a published folder says of one of its files."""

    sha256: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class Published:
    """The content of `keras_inception.json`.

    Args:
        spec: which network it is (`NetworkSpec.to_dict()`), its labels and its preprocessing. Of a model that is built
            upon a network of ours: of that one, but with the labels and the number of classes of the whole.
        files: every file of the folder but the card and this JSON, by name.
        metrics: what was measured: numbers, and texts such as the protocol.
        kind: `"GoogLeNet"` or `"NetworkInNetwork"`, the architecture, whose network follows from the spec;
            `"functional"`, whose network is in `config.json`; or `"detector"`, which is made of several models, each in
            files whose names begin with the model's and a dot. The spec is that of its first classifier.
        options: arguments that the network or the detector was built with, and the spec does not hold (not of
            `"functional"`).
        provenance: how it was made: recipe, command, versions, commit.
    """

    spec: dict
    files: dict[str, FileRecord]
    metrics: dict = dataclasses.field(default_factory=dict)
    kind: str = "GoogLeNet"
    options: dict = dataclasses.field(default_factory=dict)
    provenance: dict = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """The JSON, whose numbers are finite."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2, allow_nan=False) + "\n"

    @property
    def needed(self) -> tuple[str, ...]:
        """The files that a load reads, beside the JSON."""
        if self.kind == "detector":
            return tuple(self.files)
        return (WEIGHTS, ARCHITECTURE) if self.kind == "functional" else (WEIGHTS,)


@dataclasses.dataclass(frozen=True)
class Content:
    """What a load has read of a published folder: the bytes that were checked, so that none can change meanwhile.

    Args:
        place: the folder, for messages.
        published: the JSON.
        files: the files that a load needs, by name.
        prefix: what the names of the files begin with in the folder, for messages.
    """

    place: str
    published: Published
    files: dict[str, bytes]
    prefix: str = ""

    def name(self, file: str) -> str:
        """A file's name with its place."""
        return os.path.join(self.place, f"{self.prefix}{file}")

    def part(self, model: str) -> "Content":
        """One of the models of a detector.

        Raises:
            CheckpointError: it is missing or damaged, or a detector itself.
        """
        prefix = f"{model}."

        def file(name):
            if prefix + name not in self.files:
                raise CheckpointError(f"{self.name(CONFIG)}: expected the file {prefix}{name}; Received: none")
            return self.files[prefix + name]

        described = self.name(prefix + CONFIG)
        published = parse(file(CONFIG)[: MAX_TEXT + 1].decode("utf-8", "replace"), described)
        if published.kind == "detector":
            raise CheckpointError(f"{described}: expected a model; Received: a detector in a detector")
        part = Content(self.place, published, {name: file(name) for name in published.needed}, prefix)
        for name, data in part.files.items():
            check(data, published.files[name], part.name(name))
        return part

    def checkpoint(self) -> Checkpoint:
        """Spec and arrays.

        Raises:
            CheckpointError: the arrays are damaged.
        """
        functional = self.published.kind == "functional"
        return serialization.parse(self.files[WEIGHTS], self.published.spec, self.name(WEIGHTS), integers=functional)


def parse(text: str, name: str = CONFIG) -> Published:
    """Reads the JSON of a published folder, of which nothing is taken for what it should be.

    Raises:
        CheckpointError: it is damaged, of a later format, or holds something that its format has not.
    """
    try:
        hooks = {"object_pairs_hook": _once, "parse_constant": _number, "parse_float": _number, "parse_int": _integer}
        data = json.loads(text, **hooks)
        json.dumps(data, ensure_ascii=False).encode()  # halves of characters are no text
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: expected a published model's JSON; Received: {error}") from error

    def expect(condition, expected, received):
        if not condition:
            raise CheckpointError(f"{name}: expected {expected}; Received: {received!r:.200}")

    expect(isinstance(data, dict), "an object", data)
    version = data.pop("format", None)
    expect(type(version) is int, "a format, which is a number", version)
    expect(version <= FORMAT, f"format {FORMAT} or earlier, and a newer version of keras_inception reads it", version)
    expect(version == FORMAT, f"format {FORMAT}", version)
    fields = {field.name for field in dataclasses.fields(Published)}
    expect(set(data) <= fields and {"spec", "files"} <= set(data), f"the fields {', '.join(sorted(fields))}", set(data))
    for field in sorted(set(data) - {"kind"}):
        expect(isinstance(data[field], dict), f"an object for {field}", data[field])
    kind = data.get("kind", KINDS[0])
    expect(kind in KINDS, f"a kind, one of {', '.join(KINDS)}", kind)
    architecture = data["spec"].get("architecture", KINDS[0])
    expect(kind in ("functional", "detector", architecture), f"the architecture {kind}, as the kind is", architecture)
    files = {}
    for file, record in data["files"].items():
        expect(_NAME.fullmatch(file) and file not in (CONFIG, CARD), "the names of files in the folder", file)
        whole = isinstance(record, dict) and set(record) == {"sha256", "bytes"}
        expect(whole, f"sha256 and bytes of {file}", record)
        digest, size = record["sha256"], record["bytes"]
        expect(isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest), f"the sha256 of {file}", digest)
        expect(type(size) is int and 0 <= size <= MAX_BYTES, f"the size of {file}, up to {MAX_BYTES} bytes", size)
        files[file] = FileRecord(digest, size)
    expect(WEIGHTS in files or kind == "detector", f"the file {WEIGHTS}", sorted(files))
    if kind == "detector":
        strange = [file for file in files if not _PART.fullmatch(file)]
        expect(not strange and len(files) <= MAX_PARTS, f"up to {MAX_PARTS} files of models", strange or len(files))
    if kind == "functional":
        expect(ARCHITECTURE in files, f"the file {ARCHITECTURE}, the architecture", sorted(files))
        expect(
            files[ARCHITECTURE].bytes <= MAX_TEXT, f"{ARCHITECTURE} of at most {MAX_TEXT} bytes", files[ARCHITECTURE]
        )
    return Published(**{**data, "files": files})


def _once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key that is there twice")
    return found


def _number(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text}, which is no finite number")
    return value


def _integer(text):
    value = int(text) if len(text) < 30 else _MAX_NUMBER  # the time to read one grows with its square
    if not abs(value) < _MAX_NUMBER:
        raise ValueError(f"{text:.30}, which is no number of 64 bits")
    return value


def read_file(folder, name: str, *, limit: int, links=False) -> bytes:
    """A file of a published folder, all of it.

    Args:
        folder: the folder.
        name: of the file.
        limit: bytes that it may have.
        links: whether the file may be a link, which it is in the cache of the Hub's client. Elsewhere it could lead
            out of the folder.

    Raises:
        CheckpointError: it is missing, larger, or no regular file.
    """
    path = pathlib.Path(folder) / name
    try:
        if not stat.S_ISREG((path.stat() if links else path.lstat()).st_mode):
            raise CheckpointError(f"{path}: expected a file; Received: a link, a folder or a device")
        with path.open("rb") as file:
            # Not as many as may be: room for them is made before they are read.
            data = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: expected the file {name}; Received: none") from error
    except OSError as error:
        raise CheckpointError(f"{path}: expected a file that can be read; Received: {error}") from error
    if len(data) > limit:
        raise CheckpointError(f"{path}: expected at most {limit} bytes; Received: more")
    return data


def read_text(folder, name: str, *, links=False) -> str:
    """A text of a published folder, its line ends as they are.

    Raises:
        CheckpointError: as from `read_file`, or it is no text.
    """
    try:
        return read_file(folder, name, limit=MAX_TEXT, links=links).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{os.path.join(folder, name)}: expected UTF-8; Received: {error}") from error


def read_published(folder, *, links=False) -> Published:
    """The JSON of a published folder.

    Raises:
        CheckpointError: it is missing, damaged, or of a later format.
    """
    return parse(read_text(folder, CONFIG, links=links), os.path.join(folder, CONFIG))


def checked(folder, name: str, record: FileRecord, *, links=False) -> bytes:
    """A file that is the one that the folder's JSON describes.

    Raises:
        CheckpointError: as from `read_file`, or it is another one.
    """
    data = read_file(folder, name, limit=record.bytes, links=links)
    check(data, record, os.path.join(folder, name))
    return data


def check(data: bytes, record: FileRecord, path: str) -> None:
    """Raises CheckpointError unless a file's bytes are those that a JSON describes."""
    if len(data) != record.bytes:
        raise CheckpointError(f"{path}: expected {record.bytes} bytes; Received: {len(data)}")
    if (digest := hashlib.sha256(data).hexdigest()) != record.sha256:
        raise CheckpointError(f"{path}: expected sha256 {record.sha256}; Received: {digest}")


def read(folder, *, links=False) -> Content:
    """Reads what a load needs of a published folder, each file checked against the sha256 in the JSON.

    Raises:
        CheckpointError: a file is missing or damaged, or not the one that the JSON describes.
    """
    published = read_published(folder, links=links)
    files = {name: checked(folder, name, published.files[name], links=links) for name in published.needed}
    return Content(str(folder), published, files)


def sha256(path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_id(path) -> str:
    """The name that git gives a file's content, in hexadecimal."""
    digest = hashlib.sha1(b"blob %d\0" % os.path.getsize(path))
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write(
    folder,
    checkpoint: Checkpoint,
    *,
    metrics=None,
    half=False,
    kind=None,
    options=None,
    provenance=None,
    beside=(),
) -> Published:
    """Writes the published form of a model, but for the card: the arrays, and the JSON that describes all files.

    Args:
        folder: the folder.
        checkpoint: spec and arrays.
        metrics: what was measured.
        half: store kernels in float16.
        kind, options, provenance: see `Published`; no kind is the architecture of the spec.
        beside: names of files that are in the folder already, and belong to it.

    Returns:
        What the JSON says.

    Raises:
        ValueError: a metric is neither a finite number nor a text.
    """
    kind = checkpoint.spec.get("architecture", KINDS[0]) if kind is None else kind
    metrics = check_metrics(metrics or {})
    serialization.write(pathlib.Path(folder) / WEIGHTS, checkpoint, half=half)
    facts = {"metrics": metrics, "options": options, "provenance": provenance}
    return describe(folder, checkpoint.spec, {WEIGHTS, *beside}, kind=kind, **facts)


def describe(folder, spec: dict, names, *, kind: str, metrics=None, options=None, provenance=None) -> Published:
    """Writes the JSON that describes files, which are there already.

    Args:
        folder: the folder.
        spec, kind, metrics, options, provenance: see `Published`.
        names: of the files.

    Returns:
        What it says.

    Raises:
        ValueError: a metric is neither a finite number nor a text.
    """
    folder, metrics = pathlib.Path(folder), check_metrics(metrics or {})
    files = {name: FileRecord(sha256(folder / name), (folder / name).stat().st_size) for name in sorted(names)}
    published = Published(spec, files, metrics, kind, dict(options or {}), dict(provenance or {}))
    text = published.to_json()
    parse(text)  # nothing is written that would not be read
    partial = folder / f".{CONFIG}.part"
    partial.write_text(text, "utf-8")
    os.replace(partial, folder / CONFIG)
    return published


def check_metrics(metrics: dict) -> dict:
    """Metrics as plain JSON data.

    Raises:
        ValueError: one is neither a finite number nor a text.
    """
    plain = {}
    for name, value in metrics.items():
        value = value.item() if getattr(value, "size", 0) == 1 else value  # NumPy's numbers
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not isinstance(name, str) or not (number or isinstance(value, str)):
            raise ValueError(f"expected metrics to be finite numbers and texts by name; Received: {name}={value!r}")
        plain[name] = value
    return plain


def check_provenance(provenance: dict) -> dict:
    """How a model was made, as plain JSON data.

    Raises:
        ValueError: it is not texts by name.
    """
    for name, value in provenance.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"expected provenance to be texts by name; Received: {name}={value!r:.100}")
    return dict(provenance)

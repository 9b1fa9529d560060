"""The public weights: where each file is, how it is told from a wrong one, and what the network expects. Data only."""

import dataclasses
import functools
import importlib.resources
import json
import re
import urllib.parse

# The readers of keras_inception.convert.
FORMATS = ("caffe", "onnx", "torchvision", "tensorflow_checkpoint", "tensorflow_graph")
# Hex digits of each checksum; a prefix, as torchvision puts it into a file's name, has at least the eight it uses.
DIGITS = {"sha256": 64, "sha384": 96, "sha1": 40}
_CHECKSUM = re.compile("(sha256|sha384|sha1|sha256-prefix):([0-9a-f]+)")
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


def _expect(condition, expected, **received):
    if not condition:
        ((name, value),) = received.items()
        raise ValueError(f"expected {expected}; Received: {name}={value!r}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _build(kind, data):
    """A dataclass from JSON data, whose keys must be its fields."""
    _expect(isinstance(data, dict), f"an object for {kind.__name__}", data=data)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    wrong = sorted((required - set(data)) | (set(data) - set(fields)))
    _expect(not wrong, f"the fields of {kind.__name__}, {', '.join(fields)}", missing_or_unknown=wrong)
    return kind(**data)


@dataclasses.dataclass(frozen=True)
class File:
    """A file as its authors published it.

    Args:
        name: its name, also in the cache folder.
        urls: where it is to be had, tried in order.
        bytes: its size, or None where it was not published.
        checksum: `"sha256:..."`, `"sha384:..."`, `"sha1:..."`, `"sha256-prefix:..."`, or None where none was published.
        member: in an archive, the name (without folders) of the file that holds the weights.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None
    checksum: str | None
    member: str | None = None

    def __post_init__(self):
        for field in ("name", "member"):
            value = getattr(self, field)
            if value is not None or field == "name":
                _expect(
                    isinstance(value, str) and _NAME.fullmatch(value), "a file name without folders", **{field: value}
                )
        _expect(isinstance(self.urls, (list, tuple)) and self.urls, "at least one URL", urls=self.urls)
        object.__setattr__(self, "urls", tuple(self.urls))
        for url in self.urls:
            parts = urllib.parse.urlsplit(url) if isinstance(url, str) else None
            _expect(parts and parts.scheme in ("http", "https") and parts.hostname, "a http(s) URL", url=url)
        size = self.bytes
        _expect(size is None or (type(size) is int and size > 0), "a size in bytes, or null", bytes=size)
        if self.checksum is not None:
            match = _CHECKSUM.fullmatch(self.checksum) if isinstance(self.checksum, str) else None
            _expect(match, "a checksum such as sha256:..., or null", checksum=self.checksum)
            kind, digest = match.groups()
            whole = 8 <= len(digest) <= 64 if kind == "sha256-prefix" else len(digest) == DIGITS[kind]
            _expect(whole, f"the hex digits of a {kind}", checksum=self.checksum)

    @property
    def algorithm(self) -> str:
        """What to compute for the checksum: a name of `hashlib`."""
        return "sha256" if self.checksum is None else self.checksum.split(":")[0].removesuffix("-prefix")

    @property
    def digest(self) -> str | None:
        """The hex digits that the computed digest begins with, all of them but for a published prefix."""
        return None if self.checksum is None else self.checksum.split(":")[1]


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Published accuracy in percent; the protocol that gave it, and who says so."""

    top1: float
    top5: float
    protocol: str
    source: str

    def __post_init__(self):
        for name in ("top1", "top5"):
            value = getattr(self, name)
            _expect(_is_number(value) and 0 < value <= 100, "a percentage", **{name: value})
        _expect(self.top1 <= self.top5, "top1 up to top5", top1=self.top1)
        for name in ("protocol", "source"):
            value = getattr(self, name)
            _expect(isinstance(value, str) and value, f"a text for {name}", **{name: value})


@dataclasses.dataclass(frozen=True)
class Entry:
    """A set of public weights.

    Args:
        tag: what `weights=` calls it.
        description: one line.
        variant: the variant of the network that it fits.
        architecture: the network, `"GoogLeNet"` or `"NetworkInNetwork"`.
        format: which reader understands the file, one of `FORMATS`.
        file: the file, and where it is.
        labels: the name of the label set of the outputs.
        classes: how many outputs the file has.
        aux_heads: whether the file holds trained auxiliary heads; None where nobody has said.
        preprocessing: the arguments of `keras_inception.preprocessing.Preprocessing`.
        mean: of the pixels, per channel R, G, B: the network's input is `(pixel - mean) * scale`.
        scale: see `mean`.
        licence: of the weights.
        source: a page about them.
        accuracy: as published, or None.
        notes: where the figures come from, and what is uncertain about them.
        accuracy_unknown: why `accuracy` is None.
        fallback: the tag of a second source of the same weights, perhaps without the heads; or None.
    """

    tag: str
    description: str
    variant: str
    architecture: str
    format: str
    file: File
    labels: str
    classes: int
    aux_heads: bool | None
    preprocessing: dict
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    licence: str
    source: str
    accuracy: Accuracy | None
    notes: str
    accuracy_unknown: str | None = None
    fallback: str | None = None

    def __post_init__(self):
        _expect(isinstance(self.tag, str) and _NAME.fullmatch(self.tag), "a tag of letters and digits", tag=self.tag)
        for name in ("description", "variant", "architecture", "labels", "licence", "source", "notes"):
            value = getattr(self, name)
            _expect(isinstance(value, str) and value, f"a text for {name}", **{name: value})
        _expect(self.format in FORMATS, f"a format among {', '.join(FORMATS)}", format=self.format)
        _expect(type(self.classes) is int and self.classes > 0, "a number of classes", classes=self.classes)
        _expect(self.aux_heads in (True, False, None), "true, false or null", aux_heads=self.aux_heads)
        _expect(isinstance(self.preprocessing, dict), "an object", preprocessing=self.preprocessing)
        for name in ("mean", "scale"):
            value = getattr(self, name)
            whole = isinstance(value, (list, tuple)) and len(value) == 3 and all(_is_number(v) for v in value)
            _expect(whole, "one number per channel R, G, B", **{name: value})
            object.__setattr__(self, name, tuple(float(v) for v in value))
        if not isinstance(self.file, File):
            object.__setattr__(self, "file", _build(File, self.file))
        if self.accuracy is None:
            _expect(self.accuracy_unknown, "why there is no accuracy", accuracy_unknown=self.accuracy_unknown)
        elif not isinstance(self.accuracy, Accuracy):
            object.__setattr__(self, "accuracy", _build(Accuracy, self.accuracy))


def parse(text: str) -> tuple[dict[str, Entry], dict[str, str]]:
    """Reads a manifest: the entries by tag, and the tag that `"imagenet"` means for each variant.

    Raises:
        ValueError: something is missing, unknown, or not of its type.
    """
    data = json.loads(text)
    _expect(isinstance(data, dict) and set(data) == {"imagenet", "entries"}, "imagenet and entries", manifest=data)
    found = [_build(Entry, entry) for entry in data["entries"]]
    by_tag = {entry.tag: entry for entry in found}
    _expect(len(by_tag) == len(found), "every tag once", tags=[entry.tag for entry in found])
    for entry in found:
        other = by_tag.get(entry.fallback)
        alike = other is not None and (other.variant, other.classes) == (entry.variant, entry.classes)
        _expect(entry.fallback is None or alike, "the tag of weights of the same kind", fallback=entry.fallback)
    for variant, tag in data["imagenet"].items():
        _expect(tag in by_tag and by_tag[tag].variant == variant, f"a tag of variant {variant}", tag=tag)
    return by_tag, data["imagenet"]


@functools.cache
def _manifest():
    return parse(importlib.resources.files("keras_inception.hub").joinpath("manifest.json").read_text("utf-8"))


def entries() -> dict[str, Entry]:
    """The public weights by tag."""
    return dict(_manifest()[0])


def resolve(weights: str, variant: str | None = None, architecture: str | None = None) -> Entry:
    """The entry that `weights=` and `variant=` mean.

    Args:
        weights: a tag, or `"imagenet"`: the ImageNet weights of the variant.
        variant: the variant of the network. None: as the tag has it; for `"imagenet"`, the first that has any.
        architecture: the network. None: as the tag has it; for `"imagenet"`, `"GoogLeNet"`.

    Raises:
        ValueError: there is no such tag, the variant has no public ImageNet weights, or the tag is of another variant
            or network.
    """
    by_tag, imagenet = _manifest()
    if weights == "imagenet":
        imagenet = {
            name: tag for name, tag in imagenet.items() if by_tag[tag].architecture == (architecture or "GoogLeNet")
        }
        if variant is None:
            variant = next(iter(imagenet))
        has = ", ".join(f"{name} ({tag})" for name, tag in sorted(imagenet.items()))
        _expect(variant in imagenet, f"a variant with public ImageNet weights, one of {has}", variant=variant)
        return by_tag[imagenet[variant]]
    _expect(weights in by_tag, f"'imagenet' or a tag, one of {', '.join(sorted(by_tag))}", weights=weights)
    entry = by_tag[weights]
    _expect(architecture in (None, entry.architecture), f"the weights of a {architecture}", weights=weights)
    _expect(variant in (None, entry.variant), f"variant {entry.variant!r}, as {weights!r} has it", variant=variant)
    return entry

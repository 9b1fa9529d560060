"""`keras-inception list`, `info`, `fetch`, `convert`: weights that are known, had, and turned into other files."""

import dataclasses
import json
import textwrap

from keras_inception import checkpoints, pretrained
from keras_inception.hub import download, folder, manifest


def list_weights(args) -> int:
    rows = [("TAG", "VARIANT", "CLASSES", "SIZE", "TOP-1", "TOP-5", "HERE")]
    for tag, entry in _known().items():
        size = entry["file"]["bytes"]
        size = "-" if size is None else f"{size / 1e6:.1f} MB"
        accuracy = entry["accuracy"] or {}
        tops = [
            f"{accuracy[key]:.1f}" if isinstance(accuracy.get(key), (int, float)) else "-" for key in ("top1", "top5")
        ]
        rows.append((tag, entry["variant"], str(entry["classes"]), size, *tops, entry["here"] or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if 2 <= i <= 5 else f"{cell:{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    return 0


def info_weights(args) -> int:
    known = _known()
    tag = args.tag
    if tag == "imagenet":
        tag = manifest.resolve(tag).tag
    if tag not in known:
        raise ValueError(f"expected a tag, one of imagenet, {', '.join(known)}; Received: {tag}")
    if args.json:
        print(json.dumps(known[tag], indent=2))
        return 0
    lines = list(_flat(known[tag]))
    width = max(len(key) for key, _ in lines) + 2
    for key, value in lines:
        wrapped = textwrap.wrap(str(value), 100 - width, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(wrapped):
            print(f"{'' if number else key:{width}}{line}")
    return 0


def _flat(entry, prefix=""):
    """The lines of an entry: nested keys joined, lists in one line, what is null left out."""
    for key, value in entry.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key} ")
        elif isinstance(value, (list, tuple)) and len(value) < 20:
            yield f"{prefix}{key}", ", ".join(map(str, value))
        elif value is not None:
            yield f"{prefix}{key}", {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _known() -> dict[str, dict]:
    """Everything known by tag, the embedded weights first: plain data, with where the weights are on this machine."""
    known = {}
    for tag, place in checkpoints.embedded().items():
        published = folder.read_published(place)
        file = {"name": folder.WEIGHTS, **dataclasses.asdict(published.files[folder.WEIGHTS])}
        accuracy = dict(published.metrics)
        if isinstance(fraction := accuracy.get("accuracy"), float):
            accuracy.setdefault("top1", 100 * fraction)  # Keras' metric is a fraction, published tables hold percent
        here = {"here": "embedded", "path": str(place)}
        known[tag] = {"tag": tag, **published.spec, "file": file, "accuracy": accuracy, **here}
    for tag, entry in manifest.entries().items():
        path = download.converted_path(entry)
        here = {"here": "cached", "path": str(path)} if path.is_file() else {"here": None, "path": None}
        known.setdefault(tag, {**dataclasses.asdict(entry), **here})
    return known


def fetch_weights(args) -> int:
    embedded = checkpoints.embedded().get(args.tag)
    print(embedded or checkpoints.fetch(args.tag, allow_unverified=args.allow_unverified))
    return 0


def convert_weights(args) -> int:
    options = {"variant": args.variant, "allow_unverified": args.allow_unverified}
    print(pretrained.convert(args.source, args.destination, **options))
    return 0

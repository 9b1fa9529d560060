"""`keras-inception list`, `info`, `fetch`, `convert`: weights that are known, had, and turned into other files."""

import dataclasses
import json
import pathlib
import textwrap

from keras_inception import checkpoints, pretrained
from keras_inception.cli.hub import models_in
from keras_inception.convert.checkpoint import CheckpointError
from keras_inception.hub import download, folder, manifest
from keras_inception_cli import complain, printable


def list_weights(args) -> int:
    known = _known() if args.hub is None else _in_hub(args.hub)
    rows = [("TAG", "NETWORK", "CLASSES", "SIZE", "TOP-1", "TOP-5", "HERE")]
    for tag, entry in known.items():
        size = entry["file"]["bytes"]
        size = "-" if size is None else f"{size / 1e6:.1f} MB"
        accuracy = entry["accuracy"] or {}
        tops = [
            f"{accuracy[key]:.1f}" if isinstance(accuracy.get(key), (int, float)) else "-" for key in ("top1", "top5")
        ]
        network = "" if entry["architecture"] == "GoogLeNet" else f"{entry['architecture']} "
        if entry.get("kind") == "detector":
            network = f"detector, {network}"
        rows.append((tag, network + entry["variant"], str(entry["classes"]), size, *tops, entry["here"] or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if 2 <= i <= 5 else f"{cell:{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print(printable("  ".join(cells).rstrip()))
    return 0


def info_weights(args) -> int:
    tag = args.tag
    known = _known_of(tag)
    if tag == "imagenet":
        tag = manifest.resolve(tag).tag
    if tag not in known:
        raise ValueError(
            f"expected a published folder, hf://owner/name, or a tag, one of imagenet, {', '.join(known)}; "
            f"Received: {tag}"
        )
    if args.json:
        print(json.dumps(known[tag], indent=2))
        return 0
    lines = list(_flat(known[tag]))
    width = max(len(key) for key, _ in lines) + 2
    room = max(20, 100 - width)
    for key, value in lines:
        wrapped = textwrap.wrap(printable(str(value)), room, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(wrapped):
            print(f"{'' if number else printable(key):{width}}{line}")
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
    known = {tag: _facts(tag, place, "embedded") for tag, place in checkpoints.embedded().items()}
    for tag, entry in manifest.entries().items():
        path = download.converted_path(entry)
        here = {"here": "cached", "path": str(path)} if path.is_file() else {"here": None, "path": None}
        known.setdefault(tag, {**dataclasses.asdict(entry), **here})
    return known


def _in_hub(path) -> dict[str, dict]:
    """The same of the models that are published in a folder; one that cannot be read does not hide the others."""
    known = {}
    for place in models_in(path):
        try:
            known[place.name] = _facts(place.name, place, "folder")
        except CheckpointError as error:
            complain(str(error))
    return known


def _known_of(name: str) -> dict[str, dict]:
    if name.startswith("hf://"):
        from keras_inception.hub import stores

        fetched = stores.fetch(name, files="none")
        facts = _facts(name, fetched.folder, "cached")
        needed = folder.read_published(fetched.folder, links=True).needed
        if not all((fetched.folder / file).is_file() for file in needed):
            facts |= {"here": None, "path": None}
        return {name: {**facts, "commit": fetched.commit}}
    if (pathlib.Path(name) / folder.CONFIG).is_file():
        return {name: _facts(name, pathlib.Path(name), "folder")}
    return _known()


def _facts(tag, place, here) -> dict:
    published = folder.read_published(place, links=here == "cached")
    try:
        spec = checkpoints.checked_spec(published.spec).to_dict()
    except ValueError as error:
        raise CheckpointError(f"{place / folder.CONFIG}: {error}") from error
    file = _file(published)
    accuracy = dict(published.metrics)
    if isinstance(fraction := accuracy.get("accuracy"), float):
        accuracy.setdefault("top1", 100 * fraction)  # Keras' metric is a fraction, published tables hold percent
    facts = {"tag": tag, "kind": published.kind, **spec, "file": file, "accuracy": accuracy}
    if published.kind == "detector":
        facts["detector"] = published.options
    return {**facts, "provenance": published.provenance, "here": here, "path": str(place)}


def _file(published) -> dict:
    """The file of the weights; of a detector, which has several, all of them."""
    if folder.WEIGHTS in published.files:
        return {"name": folder.WEIGHTS, **dataclasses.asdict(published.files[folder.WEIGHTS])}
    weights = {name: record for name, record in published.files.items() if name.endswith(f".{folder.WEIGHTS}")}
    return {"name": ", ".join(weights), "sha256": None, "bytes": sum(record.bytes for record in weights.values())}


def fetch_weights(args) -> int:
    if args.tag.startswith("hf://"):
        from keras_inception.hub import stores

        print(stores.fetch(args.tag, files="all").folder)
        return 0
    embedded = checkpoints.embedded().get(args.tag)
    print(embedded or checkpoints.fetch(args.tag, allow_unverified=args.allow_unverified))
    return 0


def convert_weights(args) -> int:
    options = {"variant": args.variant, "allow_unverified": args.allow_unverified}
    print(pretrained.convert(args.source, args.destination, **options))
    return 0

"""The command line: `keras-inception classify | list | info | fetch | convert`.

It stands beside the package, not in it, and imports only the standard library: a module of the package could not run
before the package had imported Keras, which takes seconds and lets TensorFlow write its log to the terminal before
anyone can stop it. Each command imports what it needs.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import sys
import textwrap
import warnings

# A page with more photos than this is no picture any more.
MAX_CARDS = 60
# Up to this many photos are done before anyone looks for a progress bar.
FEW = 8


def main(argv=None) -> int:
    """Runs the command line.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit code: 0; 1 where something could not be read or had; 130 after Ctrl-C. Wrong usage exits with 2, by
        `SystemExit`, as argparse does.
    """
    args = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may be anything, and must not end the program
            stream.reconfigure(errors="backslashreplace")
    try:
        with contextlib.nullcontext() if args.debug else _quiet_tensorflow():
            code = args.run(args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. The interpreter flushes once more at its end: into nothing.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        if args.debug:
            raise
        _complain(_in_one_line(error))
        return 1


def _parser():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show TensorFlow's log, and errors with their traceback")
    parser = argparse.ArgumentParser(
        prog="keras-inception", description="GoogLeNet and its public pretrained weights on the command line."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, run, text, **options):
        # The first sentence stands in the list of commands.
        added = commands.add_parser(name, help=text.split(". ")[0], description=text, parents=[common], **options)
        added.set_defaults(run=run)
        return added

    classify = command("classify", _classify, "Say what photos show. Folders are searched through, for image files.")
    classify.add_argument("paths", nargs="+", metavar="PATH", help="photos, folders, or quoted patterns ('**/*.jpg')")
    classify.add_argument(
        "--weights",
        default="imagenet",
        metavar="TAG|PATH|hf://...",
        help="a tag of `keras-inception list`, a weight file or folder, or a model on the Hub (default: imagenet)",
    )
    classify.add_argument("--top", type=_positive, default=5, metavar="N", help="classes per photo (default: 5)")
    classify.add_argument("--json", action="store_true", help="one JSON object per photo and line")
    classify.add_argument(
        "--batch-size", type=_positive, default=32, metavar="N", help="photos at a time (default: 32)"
    )
    classify.add_argument("--picture", type=_png, metavar="OUT.png", help="also draw the photos and their classes")

    command("list", _list, "List the weights that are known by a tag.")

    info = command("info", _info, "Say everything that is known of a set of weights.")
    info.add_argument("tag", metavar="TAG")
    info.add_argument("--json", action="store_true", help="as JSON")

    fetch = command(
        "fetch", _fetch, "Download weights now. They are verified, converted, and kept in the cache folder."
    )
    fetch.add_argument("tag", metavar="TAG")

    convert = command("convert", _convert, "Convert weights to our format or to Keras'. Nothing in a file is executed.")
    convert.add_argument("source", metavar="IN", help="whatever `classify --weights` takes")
    convert.add_argument("destination", metavar="OUT", help="a .safetensors or .keras file, or a folder to publish")
    convert.add_argument("--variant", help="which of the public weights IN=imagenet means (default: paper)")

    for downloading in (classify, fetch, convert):
        downloading.add_argument(
            "--allow-unverified", action="store_true", help="also where nobody has published a checksum of the file"
        )
    return parser


def _positive(text):
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number; Received: {text}")
    return value


def _png(text):
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png; Received: {text}")
    return text


# classify


def _classify(args) -> int:
    folder = pathlib.Path(args.picture or ".").absolute().parent
    if not folder.is_dir():
        raise ValueError(f"expected an existing folder for the picture; Received: {folder}")

    from keras_inception.classify import classify_files, find_images
    from keras_inception.contact_sheet import PHOTO

    paths, problems = find_images(args.paths)
    for problem in problems:
        _complain(problem)
    if not paths:
        return 1
    model = _load(args.weights, args.allow_unverified)
    options = {"top": args.top, "batch_size": args.batch_size, "labels": _labels(model)}
    shown, done, failed = [], 0, len(problems)
    with (
        contextlib.nullcontext() if args.debug else _quiet_pil(),
        _progress(len(paths)) as progress,
        contextlib.closing(
            classify_files(model, paths, thumbnails=PHOTO if args.picture else None, **options)
        ) as results,
    ):
        for result in results:
            if result.error is not None:
                failed += 1
                _complain(_in_one_line(result.error), progress)
            else:
                done += 1
                progress.write(_json_line(result) if args.json else _table(result))
                if args.picture and len(shown) < MAX_CARDS:
                    shown.append(result)
            sys.stdout.flush()
            progress.update()
    if shown:
        _draw(args, shown, done)
    return 1 if failed else 0


def _progress(count):
    from huggingface_hub.utils import tqdm

    # disable=None: only on a terminal.
    return tqdm(total=count, unit=" photos", file=sys.stderr, disable=True if count <= FEW else None)


def _load(weights, allow_unverified):
    import keras_inception
    from keras_inception import pretrained
    from keras_inception.hub.download import DownloadError

    try:
        return keras_inception.GoogLeNet(weights=weights, allow_unverified=allow_unverified)
    except DownloadError as error:
        tags = ", ".join(f"--weights {tag}" for tag in pretrained.embedded())
        hint = f"; what needs no download is {tags}" if tags else ""
        raise DownloadError(f"{str(error).splitlines()[0]}{hint}") from error


def _labels(model):
    """Names for the outputs; numbers for a model that has none, for ten classes need not be CIFAR-10's."""
    from keras_inception import model_spec

    spec = model_spec(model)
    return model if spec.labels else [f"class {index}" for index in range(spec.classes)]


def _json_line(result):
    found = [
        # JSON knows no NaN, which is all that broken weights give.
        {"id": key, "label": name, "score": round(score, 6) if math.isfinite(score) else None}
        for key, name, score in result.predictions
    ]
    return json.dumps({"path": result.path, "predictions": found}, allow_nan=False)


def _table(result):
    width = max(len(name) for _, name, _ in result.predictions)
    rows = [result.path]
    for key, name, score in result.predictions:
        # A WordNet id says something that the name does not.
        rows.append(f"  {score:6.1%}  {name:{width}}  {key if key.replace('_', ' ') != name else ''}".rstrip())
    return "\n".join(rows)


def _draw(args, results, count):
    from keras_inception.contact_sheet import contact_sheet

    cards = [
        (result.thumbnail, os.path.basename(result.path), [(name, score) for _, name, score in result.predictions])
        for result in results
    ]
    photos = f"{len(cards)} of {count} photos" if count > len(cards) else f"{count} photo{'' if count == 1 else 's'}"
    weights = os.path.basename(os.path.normpath(args.weights)) if os.path.exists(args.weights) else args.weights
    contact_sheet(cards, "GoogLeNet", f"{weights} weights, {photos}").save(args.picture)


# list, info, fetch, convert


def _list(args) -> int:
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


def _info(args) -> int:
    known = _known()
    tag = args.tag
    if tag == "imagenet":
        from keras_inception.hub import manifest

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
    import dataclasses

    from keras_inception import pretrained
    from keras_inception.hub import download, manifest, serialization

    known = {}
    for tag, folder in pretrained.embedded().items():
        config = serialization.read_config(folder)
        file = {"name": serialization.WEIGHTS, "bytes": None, **config["files"][serialization.WEIGHTS]}
        accuracy = dict(config["metrics"])
        if isinstance(fraction := accuracy.get("accuracy"), float):
            accuracy.setdefault("top1", 100 * fraction)  # Keras' metric is a fraction, published tables hold percent
        here = {"here": "embedded", "path": str(folder)}
        known[tag] = {"tag": tag, **config["spec"], "file": file, "accuracy": accuracy, **here}
    for tag, entry in manifest.entries().items():
        path = download.converted_path(entry)
        here = {"here": "cached", "path": str(path)} if path.is_file() else {"here": None, "path": None}
        known.setdefault(tag, {**dataclasses.asdict(entry), **here})
    return known


def _fetch(args) -> int:
    from keras_inception import pretrained

    embedded = pretrained.embedded().get(args.tag)
    print(embedded or pretrained.fetch(args.tag, allow_unverified=args.allow_unverified))
    return 0


def _convert(args) -> int:
    from keras_inception import pretrained

    options = {"variant": args.variant, "allow_unverified": args.allow_unverified}
    print(pretrained.convert(args.source, args.destination, **options))
    return 0


# What is said on stderr


def _complain(line, progress=None):
    """One line on stderr, above the progress bar if there is one."""
    line = f"keras-inception: {line}"
    if progress is None:
        print(line, file=sys.stderr)
    else:
        progress.write(line, file=sys.stderr)


def _in_one_line(error):
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    # The library names its argument; who is here has an option.
    text = text.replace("allow_unverified=True", "--allow-unverified").removesuffix(
        "; Received: allow_unverified=False"
    )
    return text if len(text) <= 800 else f"{text[:760]} ... (--debug shows all of it)"


@contextlib.contextmanager
def _quiet_pil():
    """Hides PIL's warnings, of damaged EXIF data for one: what it warns of, it can read.

    The filters belong to the whole process: this is for the main thread, around all threads that read photos.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def _quiet_tensorflow():
    """Hides what TensorFlow's C++ side writes to file descriptor 2, and keeps what Python writes to `sys.stderr`.

    TF_CPP_MIN_LOG_LEVEL alone does not do it: TensorFlow 2.21 tells of its CPU kernels and absent GPUs before it reads
    that variable.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        ours = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        ours = False  # a test or a notebook has put something else there
    if not ours:
        yield
        return
    original = sys.stderr
    original.flush()
    saved = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    with open(saved, "w", buffering=1, encoding=original.encoding, errors="backslashreplace") as stream:
        os.dup2(nothing, 2)
        os.close(nothing)
        sys.stderr = stream
        try:
            yield
        finally:
            sys.stderr = original
            os.dup2(saved, 2)


if __name__ == "__main__":
    sys.exit(main())

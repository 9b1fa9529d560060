"""The command line: `keras-inception classify | detect | evaluate | list | info | fetch | convert | publish | ...`.

It stands beside the package, not in it, and imports only the standard library: a module of the package could not run
before the package had imported Keras, which takes seconds and lets TensorFlow write its log to the terminal before
anyone can stop it. The commands themselves are modules of `keras_inception.cli`.
"""

import argparse
import contextlib
import importlib
import os
import sys


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
            module, function = args.run
            code = getattr(importlib.import_module(f"keras_inception.cli.{module}"), function)(args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. The interpreter flushes once more at its end: into nothing.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        if args.debug:
            raise
        complain(in_one_line(error))
        return 1


def _parser():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show TensorFlow's log, and errors with their traceback")
    parser = argparse.ArgumentParser(
        prog="keras-inception", description="GoogLeNet and its public pretrained weights on the command line."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, run, text, **options):
        """`run`: a module of `keras_inception.cli` and its function, which takes the arguments and returns a code."""
        # The first sentence stands in the list of commands.
        added = commands.add_parser(name, help=text.split(". ")[0], description=text, parents=[common], **options)
        added.set_defaults(run=run)
        return added

    classify = command(
        "classify", ("classify", "classify"), "Say what photos show. Folders are searched through, for image files."
    )
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

    detecting = command(
        "detect",
        ("detect", "detect"),
        "Say where objects are in photos. A line for each: score, class, and xmin ymin xmax ymax in pixels.",
    )
    detecting.add_argument("paths", nargs="+", metavar="PATH", help="photos, folders, or quoted patterns ('**/*.jpg')")
    detecting.add_argument(
        "--weights", required=True, metavar="FOLDER|hf://...", help="a published detector, such as RUN/detector"
    )
    detecting.add_argument(
        "--threshold",
        type=_share,
        default=0.5,
        metavar="SCORE",
        help="the least score, 0 to 1, of what the detector finds (default: 0.5)",
    )
    detecting.add_argument("--json", action="store_true", help="one JSON object per photo and line")
    detecting.add_argument(
        "-o", "--picture", type=_png, metavar="OUT.png", help="also draw the photo, or a page of all"
    )

    evaluating = command(
        "evaluate",
        ("evaluate", "evaluate"),
        "Say what models get right of labelled photos. Several models are evaluated as an ensemble.",
    )
    evaluate_arguments(evaluating)

    listing = command("list", ("weights", "list_weights"), "List the weights that are known by a tag.")
    listing.add_argument("--hub", metavar="FOLDER", help="those that are published in a folder")

    info = command("info", ("weights", "info_weights"), "Say everything that is known of a set of weights.")
    info.add_argument("tag", metavar="TAG|FOLDER|hf://...")
    info.add_argument("--json", action="store_true", help="as JSON")

    fetch = command(
        "fetch",
        ("weights", "fetch_weights"),
        "Download weights now. They are verified, converted, and kept in the cache folder.",
    )
    fetch.add_argument("tag", metavar="TAG|hf://...")

    convert = command(
        "convert",
        ("weights", "convert_weights"),
        "Convert weights to our format or to Keras'. Nothing in a file is executed.",
    )
    convert.add_argument("source", metavar="IN", help="whatever `classify --weights` takes")
    convert.add_argument("destination", metavar="OUT", help="a .safetensors or .keras file, or a folder to publish")
    convert.add_argument("--variant", help="which of the public weights IN=imagenet means (default: paper)")

    publish = command(
        "publish",
        ("hub", "publish_model"),
        "Publish a model on the Hugging Face Hub, or in a folder. It is loaded back before anything is sent.",
    )
    publish_arguments(publish)

    verify = command(
        "verify",
        ("hub", "verify_hub"),
        "Check published models: every file, that they load, and that the card says what was measured.",
    )
    verify.add_argument("paths", nargs="+", metavar="FOLDER|hf://...", help="a published folder, or a folder of such")

    table1 = command(
        "table1",
        ("table1", "print_table_1"),
        "Recount the paper's Table 1, and each module without reductions and as a stack of 1x1 convolutions.",
    )
    table1.add_argument("--json", action="store_true", help="as JSON")

    for downloading in (classify, fetch, convert, publish):
        _allow_unverified(downloading)
    return parser


def publish_arguments(parser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="a published folder, such as RUN/model; a .keras file; or weights"
    )
    parser.add_argument("destination", metavar="OWNER/NAME|./FOLDER")
    parser.add_argument("--version", metavar="TAG", help="tag the commit, such as v1")
    parser.add_argument("--private", action="store_true", help="in a private repository, or not at all")
    parser.add_argument("--license", metavar="ID", help="such as apache-2.0")
    parser.add_argument("--base-model", metavar="OWNER/NAME", help="what it was made from")
    parser.add_argument("--tag", action="append", metavar="TEXT", help="a tag of the card; more than once for several")
    parser.add_argument("--metric", action="append", type=_metric, metavar="NAME=VALUE", help="what was measured")
    parser.add_argument("--half", action="store_true", help="store kernels in float16")
    parser.add_argument("--revision", metavar="BRANCH", help="default: main")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead of committing")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")


def evaluate_arguments(parser) -> None:
    """Adds the arguments of `evaluate`, which `training.evaluate` takes too."""
    parser.add_argument(
        "--weights",
        action="append",
        required=True,
        metavar="TAG|PATH|hf://...",
        help="as for `classify`; more than once for an ensemble",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="NAME|FOLDER",
        help="a TFDS data set that is prepared, or a folder with a folder of images for each class",
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="TFDS's folder (default: ~/tensorflow_datasets)")
    parser.add_argument("--split", help="default: validation or test, or all images of a folder that has neither")
    crops = parser.add_mutually_exclusive_group()
    crops.add_argument(
        "--protocol",
        default="1",
        choices=["1", "10", "144", "short_side", "warp", "central_fraction"],
        help="crops per photo, or one crop after a published resize (default: 1, as the model was trained)",
    )
    crops.add_argument(
        "--table", action="store_true", help="the paper's table 3: one model and all, with 1, 10 and 144 crops"
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="photos at most")
    parser.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="crops at a time (default: 64)")
    parser.add_argument(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        help="in what the models compute (default: float32, or what is configured for Keras)",
    )
    parser.add_argument("--json", metavar="OUT.json", help="also write all numbers")
    parser.add_argument("--picture", type=_png, metavar="OUT.png", help="also draw confusions and calibration")
    parser.add_argument("--resume", metavar="FILE", help="keep in FILE what is done, and go on from there")
    _allow_unverified(parser)


def _allow_unverified(parser):
    parser.add_argument(
        "--allow-unverified", action="store_true", help="also where nobody has published a checksum of the file"
    )


def _positive(text):
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number; Received: {text}")
    return value


def _share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1; Received: {text}")
    return value


def _metric(text):
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE; Received: {text}")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _png(text):
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png; Received: {text}")
    return text


# What is said on stderr


def complain(line, progress=None):
    """One line on stderr, above the progress bar if there is one."""
    line = f"keras-inception: {line}"
    if progress is None:
        print(line, file=sys.stderr)
    else:
        progress.write(line, file=sys.stderr)


def in_one_line(error):
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    # The library names its argument; who is here has an option.
    text = text.replace("allow_unverified=True", "--allow-unverified").removesuffix(
        "; Received: allow_unverified=False"
    )
    return printable(text if len(text) <= 800 else f"{text[:760]} ... (--debug shows all of it)")


def printable(text):
    """A text in which nothing tells the terminal what to do, for some come from strangers' files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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

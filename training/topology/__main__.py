"""Section 3 of the paper: whether it holds for a trained network, and a network that is built as it says.

python -m training.topology [report] --data-dir DATASETS --out REPORT
python -m training.topology grow training/configs/NAME.py --data-dir DATASETS --out grown.json
python -m training.topology recovery --out REPORT
"""

import argparse
import logging
import os
import pathlib
import sys


def main(argv=None) -> int:
    """Runs the program; the exit code is 1 after an error, said in one sentence."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or (argv[0].startswith("--") and argv[0] != "--help"):
        argv = ["report", *argv]
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for ours in ("training", "keras_inception"):
        logging.getLogger(ours).setLevel(logging.INFO)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from training.program import finish

    return finish("topology", lambda: arguments.program(arguments))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m training.topology", description=__doc__.splitlines()[0])
    programs = parser.add_subparsers(required=True, metavar="report|grow|recovery")

    report = programs.add_parser("report", help="correlations of a trained network, and what they ask for")
    report.set_defaults(program=_report)
    report.add_argument("--weights", default="cifar10", help="of a GoogLeNet (default: cifar10)")
    report.add_argument("--data", default="cifar10", help="a TFDS data set, or a folder of images (default: cifar10)")
    report.add_argument("--split", default="test", help="of it (default: test)")
    report.add_argument("--size", type=int, default=32, help="height and width of the images (default: 32)")
    report.add_argument("--limit", type=int, default=2000, help="images (default: 2000)")
    report.add_argument("--controls", type=int, default=3, help="untrained networks (default: 3)")
    report.add_argument("--out", type=pathlib.Path, required=True, help="a folder for the report and its pictures")

    grow = programs.add_parser("grow", help="train, analyse the last layer, add a module, and again")
    grow.set_defaults(program=_grow)
    grow.add_argument("config", metavar="CONFIG.py", help="the recipe of a GoogLeNet")
    grow.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change the recipe")
    grow.add_argument("--epochs", type=int, default=1, help="of the training before each module (default: 1)")
    grow.add_argument("--limit", type=int, default=1024, help="images for the statistics (default: 1024)")
    grow.add_argument("--modules", type=int, default=9, help="how many, from 3a on (default: 9)")
    grow.add_argument("--out", type=pathlib.Path, required=True, help="a JSON file for what has grown")

    recovery = programs.add_parser("recovery", help="random sparse networks, and how much of them is found again")
    recovery.set_defaults(program=_recovery)
    recovery.add_argument("--seeds", type=int, default=2, help="networks of each kind (default: 2)")
    recovery.add_argument("--out", type=pathlib.Path, required=True, help="a folder for the figures and their picture")

    for program in (report, grow):
        program.add_argument("--data-dir", type=pathlib.Path, help="TFDS's folder")
    return parser


def _report(arguments) -> str:
    from training.topology.report import read_images, report

    images = read_images(arguments.data, arguments.split, arguments.data_dir, arguments.size, arguments.limit)
    described = f"{arguments.data}, {arguments.split}, at {arguments.size} pixels"
    return report(arguments.weights, images, arguments.out, controls=arguments.controls, described=described)


def _grow(arguments) -> str:
    from training.recipe import load_config, with_settings
    from training.topology.growth import grow_by_recipe, write

    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # rather now than when all is grown
    recipe = with_settings(load_config(arguments.config)["recipe"], arguments.set)
    stages = grow_by_recipe(
        recipe, arguments.data_dir, epochs=arguments.epochs, images=arguments.limit, modules=arguments.modules
    )
    return write(stages, recipe, arguments.out)


def _recovery(arguments) -> str:
    from training.topology.recovery import sweep

    if arguments.seeds < 1:
        raise ValueError(f"expected a network of each kind at least; Received: --seeds {arguments.seeds}")
    return sweep(arguments.out, seeds=arguments.seeds)


if __name__ == "__main__":
    sys.exit(main())

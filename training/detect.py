"""Trains a detector by a recipe, all its parts, and measures them one by one and together (section 8 of the paper).

    python -m training.detect training/configs/NAME.py --data-dir D --work-dir W [--set field=value ...]

`D` is a folder of Pascal VOC or of COCO. Started again with the same work directory, it goes on where it was. `W` holds
in the end `results.json` (a row for each detector), `curves.png`, `detections.png`, and `detector/`: the best, as
`keras-inception detect --weights W/detector` and the hub take it.
"""

import argparse
import logging
import os
import pathlib
import shutil
import sys


def main(argv=None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0; 1 after an error, said in one sentence; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.detect", description="Trains a detector by a recipe; started again, it goes on."
    )
    parser.add_argument("config", metavar="CONFIG.py", help="a recipe, such as training/configs/bccd.py")
    parser.add_argument("--data-dir", type=pathlib.Path, required=True, help="the folder of annotated photos")
    parser.add_argument("--work-dir", type=pathlib.Path, required=True, help="for all that is made")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change the recipe")
    parser.add_argument("--out", type=pathlib.Path, metavar="ROWS.json", help="also write the rows here")
    parser.add_argument("--debug", action="store_true", help="show errors with their traceback")
    arguments = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for ours in ("training", "keras_inception"):
        logging.getLogger(ours).setLevel(logging.INFO)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from training.program import one_sentence

    try:
        print(_train(arguments))
        return 0
    except KeyboardInterrupt:
        print("detect: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except Exception as error:
        sentence = None if arguments.debug else one_sentence(error)
        if sentence is None:
            raise
        print(f"detect: {sentence}", file=sys.stderr)
        return 1


def _train(arguments) -> str:
    """The rows as a table."""
    from training.detection.recipe import DetectionRecipe
    from training.detection.rows import table
    from training.detection.run import train
    from training.recipe import load_config, with_settings

    recipe = with_settings(load_config(arguments.config, DetectionRecipe)["recipe"], arguments.set)
    name = pathlib.Path(arguments.config).stem
    folders = {"data_dir": arguments.data_dir, "work_dir": arguments.work_dir}
    found = train(recipe, name=name, **folders, settings=arguments.set)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(arguments.work_dir / "results.json", arguments.out)
    return table(found)


if __name__ == "__main__":
    sys.exit(main())

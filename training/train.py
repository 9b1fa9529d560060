"""Trains a GoogLeNet by a recipe, and goes on where it was when it is started again with the same work directory.

    python -m training.train training/configs/NAME.py --data-dir D --work-dir W [--set field=value ...]

`W` holds in the end: `model/` (the trained model, as `weights/` and the hub hold it), `metrics.jsonl` (one line a
step), `curves.png`, `run.json` (the whole recipe, the commit and all versions), `checkpoints/` and `tensorboard/`.
"""

import argparse
import logging
import os
import pathlib
import sys
import tempfile
import traceback

logger = logging.getLogger(__name__)

# How a process ends that has lost the rest of its cluster: sysexits.h's "temporary failure, try again".
LOST_CLUSTER = 75

_scratch_folders = []  # which are deleted with the process


def main(argv=None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0; 1 after an error, said in one sentence; 75 where the cluster was lost, and the same command
        goes on; 130 after Ctrl-C. Wrong usage exits with 2, by `SystemExit`, as argparse does.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for ours in ("training", "keras_inception"):
        logging.getLogger(ours).setLevel(logging.INFO)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from training.program import one_sentence
    from training.run import ClusterLostError, preview, train

    in_cluster = False
    try:
        settings = _settings(arguments)
        if settings is None:
            return 0
        if arguments.preview:
            preview(settings["recipe"], arguments.data_dir, arguments.preview)
        else:
            in_cluster = bool(settings["cluster"].workers)
            train(**settings)
        return 0
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        if in_cluster:
            leave(130)
        return 130
    except ClusterLostError as error:
        print(f"train: {error}", file=sys.stderr)
        leave(LOST_CLUSTER)
    except Exception as error:
        sentence = None if arguments.debug else one_sentence(error)
        if sentence is not None:
            print(f"train: {sentence}", file=sys.stderr)
        elif in_cluster:
            traceback.print_exc()
        else:
            raise
        if in_cluster:
            leave(1)  # so that the others notice
        return 1


def leave(code: int):
    """Ends the process now: TensorFlow's own threads wait for the other workers, and would hold it up."""
    for folder in _scratch_folders:
        folder.cleanup()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description="Trains a GoogLeNet by a recipe; started again, it goes on."
    )
    parser.add_argument("config", metavar="CONFIG.py", help="a recipe, such as training/configs/cifar10.py")
    parser.add_argument("--data-dir", type=pathlib.Path, help="TFDS's folder, or the folder of images")
    parser.add_argument("--work-dir", type=pathlib.Path, help="checkpoints, logs and the trained model")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change the recipe")
    parser.add_argument(
        "--predict",
        type=pathlib.Path,
        metavar="OUT.npz",
        help="when all is trained, write the probabilities of all evaluated images, in the data set's order",
    )
    parser.add_argument("--preview", type=pathlib.Path, metavar="OUT.png", help="only draw what the network will see")
    parser.add_argument("--debug", action="store_true", help="show errors with their traceback")
    cluster_arguments(parser, ["auto", "one", "mirrored", "multi_worker", "parameter_server", "tpu"])
    return parser


def cluster_arguments(parser, strategies) -> None:
    """Adds what says which process of which cluster this is; `find_cluster` reads it."""
    cluster = parser.add_argument_group("several devices or machines (training/README.md)")
    cluster.add_argument(
        "--strategy",
        default="auto",
        choices=strategies,
        help="default: by what TF_CONFIG, SLURM or the arguments below say, and by the devices that are there",
    )
    cluster.add_argument("--workers", metavar="HOST:PORT,...", help="all workers, the first of them the chief")
    cluster.add_argument("--parameter-servers", metavar="HOST:PORT,...")
    cluster.add_argument("--coordinator", metavar="HOST:PORT", help="of parameter servers and their workers")
    cluster.add_argument("--task-type", choices=["worker", "ps", "chief"], help="what this process is")
    cluster.add_argument("--task-index", type=int, help="which of them, from 0")
    cluster.add_argument("--port", type=int, default=12345, help="the first port of each node under SLURM")


def _settings(arguments) -> dict | None:
    """What `train` takes; None for a process that served the others' run to its end."""
    from training import distribution
    from training.recipe import load_config, with_settings

    names = load_config(arguments.config)
    recipe = with_settings(names["recipe"], arguments.set)
    if arguments.preview:
        return {"recipe": recipe}
    if arguments.work_dir is None:
        raise ValueError("expected --work-dir, a folder for checkpoints and results; Received: none")
    cluster = distribution.find_cluster(arguments, os.environ)
    if distribution.is_server(cluster):
        distribution.serve(cluster)
        return None
    # Every worker runs the callbacks, for they may stop the training; the files of all but the chief are thrown away.
    folder = arguments.work_dir if cluster.is_chief else _scratch()
    callbacks = names["callbacks"](folder) if "callbacks" in names else ()
    return {
        "recipe": recipe,
        "name": pathlib.Path(arguments.config).stem,
        "data_dir": arguments.data_dir,
        "work_dir": arguments.work_dir,
        "strategy": arguments.strategy,
        "cluster": cluster,
        "callbacks": callbacks,
        "predict": arguments.predict,
        "settings": arguments.set,
    }


def _scratch() -> pathlib.Path:
    _scratch_folders.append(tempfile.TemporaryDirectory(prefix="training-", ignore_cleanup_errors=True))
    return pathlib.Path(_scratch_folders[-1].name)


if __name__ == "__main__":
    sys.exit(main())

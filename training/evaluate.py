"""Evaluates models by the paper's section 7 on several devices and machines; else it is `keras-inception evaluate`.

    python -m training.evaluate --weights A [--weights B ...] --data NAME|FOLDER --protocol 144 [--table]

All workers are given the same command, with their place in the cluster as in `training.train`. They share the photos;
the first shows and writes what was found. One that was killed takes the others with it (exit code 75); with `--resume
FILE`, where each keeps what it has done, all go on when they are started again.
"""

import argparse
import os
import sys

from keras_inception_cli import evaluate_arguments
from training.train import LOST_CLUSTER, cluster_arguments, leave


def main(argv=None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0; 1 after an error, said in one sentence; 75 where another process of the cluster was lost.
        Wrong usage exits with 2, by `SystemExit`, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    evaluate_arguments(parser)
    cluster_arguments(parser, ["auto", "one", "mirrored", "multi_worker", "tpu"])
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from training import distribution
    from training.program import one_sentence

    cluster = distribution.Cluster()
    try:
        cluster = distribution.find_cluster(arguments, os.environ)
        strategy = distribution.make_strategy(arguments.strategy, cluster)
        # TensorFlow must not run any operation before the strategy of several workers is there, and Keras does.
        from keras_inception.cli.evaluate import evaluate_source, find_source

        with strategy.scope():
            source = find_source(arguments.data, arguments.split, arguments.data_dir)
            return evaluate_source(arguments, source, show=cluster.is_chief)
    except Exception as error:
        lost = distribution.is_loss(error, cluster)
        sentence = "another process of the cluster is gone" if lost else one_sentence(error)
        if sentence is None:
            raise
        print(f"evaluate: {sentence}", file=sys.stderr)
        if cluster.workers:
            leave(LOST_CLUSTER if lost else 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m training.benchmark`."""

import argparse
import json
import os
import pathlib

from training import benchmark
from training.benchmark import detection, evaluation, hub, inference, input, sparse, topology, training
from training.machine import processor


def environment(threads) -> dict:
    """What the numbers depend on."""
    import importlib.metadata

    def version(package):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    packages = ("keras", "tensorflow", "torch", "torchvision", "numpy")
    return {"cpu": processor(), "threads": threads, **{package: version(package) for package in packages}}


MEASUREMENTS = {
    "inference": inference.inference,
    "lrn": inference.lrn,
    "import": inference.importing,
    "training": training.training,
    "batch_norm": training.batch_norm,
    "input": input.input_pipeline,
    "evaluation": evaluation.evaluation,
    "detection": detection.detection,
    "hub": hub.hub,
    "topology": topology.topology,
    "sparse": sparse.sparse,
}
OF_PHOTOS = ("input", "evaluation", "detection")


def main():
    parser = argparse.ArgumentParser(
        description=benchmark.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measurement", choices=MEASUREMENTS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a contestant's turn in one round")
    parser.add_argument("--photos", type=pathlib.Path, help=f"a folder of JPEG files, for {', '.join(OF_PHOTOS)}")
    parser.add_argument("--output", type=pathlib.Path, help="write the numbers as JSON here, and what `sparse` draws")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = {"photos": arguments.photos} if arguments.measurement in OF_PHOTOS else {}
    if None in options.values():
        parser.error(f"{arguments.measurement} needs --photos FOLDER")
    results = MEASUREMENTS[arguments.measurement](arguments.threads, arguments.rounds, arguments.seconds, **options)
    report = {"measurement": arguments.measurement, **environment(arguments.threads), "results": results}
    print(json.dumps(report, indent=2))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")
        if arguments.measurement == "sparse":
            sparse.draw(results, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()

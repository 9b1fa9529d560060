"""What finished runs have made, side by side: parameters, multiply-adds, accuracy, and how they were trained.

    python -m training.compare RUN [RUN ...] [HMAX.json ...] [--out ROWS.json]

A run is the work directory of `training.train`; a JSON file is what `training.hmax` wrote, or what an earlier
comparison did. Runs of one network that differ in their seeds, `NAME`, `NAME_seed1`, ..., share a line.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import sys

from training.curves import read_metrics


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Args:
        name: of the run.
        parameters: of all layers, without the moving statistics of batch normalization.
        multiply_adds: for one image at the size of the evaluation.
        accuracy: top-1, a fraction.
        trained: for how long, in words.
    """

    name: str
    parameters: int
    multiply_adds: int
    accuracy: float
    trained: str


def read_run(folder) -> Row:
    """Reads the work directory of a finished run.

    Raises:
        ValueError: it is none.
    """
    from keras_inception import from_hub
    from keras_inception.models.operations import multiply_adds, parameters

    folder = pathlib.Path(folder)
    try:
        recipe = json.loads((folder / "run.json").read_text())["recipe"]
        epochs, sizes = recipe["epochs"], sorted(set(recipe["sizes"]))
        _, evaluations, _ = read_metrics(folder / "metrics.jsonl")
        model = from_hub(folder / "model")
        accuracy = evaluations["accuracy"][-1]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"expected the work directory of a finished training; Received: {folder} ({type(error).__name__}: {error})"
        ) from error
    trained = f"{epochs} epoch{'s' * (epochs > 1)} at {' and '.join(map(str, sizes))} pixels"
    return Row(folder.name, parameters(model), multiply_adds(model), accuracy, trained)


def read_hmax(path) -> Row:
    """Reads what `training.hmax` wrote; its accuracy is that of the split it did not train on.

    Raises:
        ValueError: it is none.
    """
    path = pathlib.Path(path)
    try:
        data = json.loads(path.read_text())
        *_, accuracy = data["accuracy"].values()
        trained = f"a linear classifier, {data['epochs of the classifier']} epochs"
        return Row(path.stem, data["parameters"], data["multiply-adds"], accuracy, trained)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected what training.hmax wrote; Received: {path} ({error})") from error


def read(path: pathlib.Path) -> list[Row]:
    """Reads a run, or one of the JSON files.

    Raises:
        ValueError: it is none of these.
    """
    if path.suffix != ".json":
        return [read_run(path)]
    try:
        rows = json.loads(path.read_text())
        if isinstance(rows, list):
            return [Row(**row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"expected what training.hmax or training.compare wrote; Received: {path} ({type(error).__name__}: {error})"
        ) from error
    return [read_hmax(path)]


def table(rows: list[Row]) -> str:
    """The comparison as a Markdown table; of several seeds the mean, and the lowest and the highest."""
    lines = ["| | parameters | multiply-adds | accuracy | trained |", "|---|---|---|---|---|"]
    seeds: dict[Row, list[float]] = {}
    for row in rows:
        name = re.sub(r"_seed\d+$", "", row.name)
        seeds.setdefault(dataclasses.replace(row, name=name, accuracy=0), []).append(100 * row.accuracy)
    for row, found in seeds.items():
        costs = f"{row.parameters:,} | {row.multiply_adds / 1e6:.1f}M"
        accuracy = f"{sum(found) / len(found):.2f} %"
        if len(found) > 1:
            accuracy += f" ({min(found):.2f} to {max(found):.2f}, {len(found)} seeds)"
        lines.append(f"| {row.name} | {costs} | {accuracy} | {row.trained} |")
    return "\n".join(lines)


def main(argv=None) -> int:
    """Runs the program; the exit code is 1 after an error, said in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="a run's folder, or a JSON file")
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file for the lines, which can be read again")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from training.program import finish

    def program() -> str:
        names = [run.name for run in arguments.runs]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"expected runs of different names; Received: {', '.join(sorted(twice))} more than once")
        # The last of a name is that which counts: a run of an earlier comparison may have been made anew.
        rows = list({row.name: row for path in arguments.runs for row in read(path)}.values())
        if arguments.out:
            arguments.out.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
        return table(rows)

    return finish("compare", program)


if __name__ == "__main__":
    sys.exit(main())

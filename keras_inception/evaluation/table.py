"""The paper's table 3: what more models and more crops are worth."""

import collections.abc
import dataclasses
import json
import pathlib

from keras_inception.evaluation.crops import find_protocol
from keras_inception.evaluation.evaluate import Options, evaluate_groups
from keras_inception.evaluation.report import Evaluation


@dataclasses.dataclass(frozen=True)
class Table3:
    """Evaluations of one model and of all, each with all crop protocols, in the order of the paper's table 3.

    Attributes:
        rows: the evaluations, the base first.
        singles: of each model alone, the evaluation with the first protocol.
    """

    rows: tuple[Evaluation, ...]
    singles: tuple[Evaluation, ...]

    def columns(self) -> list[dict]:
        """The numbers of each row, as JSON data; errors and changes are fractions."""
        base = self.rows[0]
        return [
            {
                "models": len(row.models),
                "crops": row.protocol.crops,
                "cost": len(row.models) * row.protocol.crops,
                "top1_error": 1 - row.top1_accuracy,
                "top1_change": base.top1_accuracy - row.top1_accuracy,
                "top5_error": 1 - row.top5_accuracy,
                "top5_change": base.top5_accuracy - row.top5_accuracy,
            }
            for row in self.rows
        ]

    def __str__(self) -> str:
        """The table in Markdown."""
        lines = [
            "| models | crops | cost | top-1 error | compared to base | top-5 error | compared to base |",
            "|---|---|---|---|---|---|---|",
        ]
        for number, row in enumerate(self.columns()):
            changes = (f"{row[f'top{k}_change']:+.2%}" if number else "base" for k in (1, 5))
            top1, top5 = changes
            cells = (row["models"], row["crops"], row["cost"], f"{row['top1_error']:.2%}", top1)
            lines.append("| " + " | ".join(map(str, (*cells, f"{row['top5_error']:.2%}", top5))) + " |")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """The table, and every evaluation in full, as JSON data."""
        return {
            "table": self.columns(),
            "singles": [
                {
                    "model": single.models[0],
                    "top1_accuracy": single.top1_accuracy,
                    "top5_accuracy": single.top5_accuracy,
                }
                for single in self.singles
            ],
            "evaluations": [row.to_dict() for row in self.rows],
        }

    def save(self, json_file) -> None:
        """Writes `to_dict` as a file."""
        pathlib.Path(json_file).write_text(json.dumps(self.to_dict()) + "\n")


def table_3(models, dataset, protocols=("1", "10", "144"), **options) -> Table3:
    """Evaluates one model and all together, with each of several crop protocols.

    The one model is that with the lowest top-1 error under the first protocol, as in the paper. Each crop goes through
    each model once, for all rows.

    Args:
        models: Keras models that were trained independently of one another: a list, or a dict by names for them.
        dataset: as for `evaluate`.
        protocols: as for `evaluate`, the base first.
        **options: those of `evaluate`. `resume` names a file for each protocol, with its name at the end.

    Raises:
        ValueError: as from `evaluate`.
    """
    options = Options(**options)
    if not isinstance(models, collections.abc.Mapping):
        models = list(models) if isinstance(models, (list, tuple)) else [models]
    if isinstance(dataset, collections.abc.Iterator):
        raise ValueError(f"expected data that can be read for each protocol; Received: {type(dataset).__name__}")
    alone, together = [[number] for number in range(len(models))], list(range(len(models)))
    groups = [*alone, together] if len(models) > 1 else alone
    found = {}
    for protocol in map(find_protocol, protocols):
        resume = None if options.resume is None else f"{options.resume}.{protocol.name}"
        found[protocol.name] = evaluate_groups(
            models, dataset, protocol, groups, dataclasses.replace(options, resume=resume)
        )
    first = next(iter(found.values()))[: len(models)]
    best = max(range(len(models)), key=lambda number: first[number].top1_accuracy)
    rows = [evaluations[best] for evaluations in found.values()]
    if len(models) > 1:
        rows += [evaluations[-1] for evaluations in found.values()]
    return Table3(tuple(rows), tuple(first))

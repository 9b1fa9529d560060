"""`keras-inception table1`: the paper's Table 1 recounted, and each module beside what it was made from."""

import dataclasses
import json

from keras_inception.layers.cost import Cost
from keras_inception.models.table_1 import K, M, RowCost, table_1_costs

_HEAD = ("ROW", "IN", "OUT", "PARAMS", "OPS", "PRINTED", "NAIVE: OUT", "PARAMS", "OPS", "1x1 STACK: PARAMS", "OPS")
_NOTE = """
params in K = 1024 weights and biases, ops in millions of multiply-adds for an image of 224 x 224
naive: figure 2a on the same inputs, with as many filters of 1x1, 3x3 and 5x5; the pooling passes all inputs on
1x1 stack: two 1x1 convolutions with as many outputs, as in Network in Network
"""


def print_table_1(args) -> int:
    rows = table_1_costs()
    if args.json:
        print(json.dumps([_plain(row) for row in rows], indent=2))
        return 0
    lines = [_HEAD, *map(_cells, rows), _total(rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        first, *rest = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print("  ".join((f"{cells[0]:{widths[0]}}", *rest)))
    print(_NOTE)
    print("Where the printed columns do not belong to the channel columns beside them:")
    for row in rows:
        if row.verdict:
            print(f"  {row.type}: {row.verdict}")
    return 0


def _plain(row: RowCost) -> dict:
    """A row as JSON data, with the costs' names."""
    data = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {name: value._asdict() if isinstance(value, Cost) else value for name, value in data.items()}


def _costs(cost: Cost | None) -> tuple[str, str]:
    return ("", "") if cost is None else (f"{cost.parameters / K:,.1f}", f"{cost.operations / M:,.1f}")


def _cells(row: RowCost) -> tuple[str, ...]:
    printed = f"{row.printed[0]:g}K {row.printed[1]:g}M{'' if not row.verdict else ' !'}"
    grown = "" if row.naive_outputs is None else str(row.naive_outputs)
    naive, stack = _costs(row.naive), _costs(row.stack)
    return (row.type, str(row.inputs), str(row.outputs), *_costs(row.cost), printed, grown, *naive, *stack)


def _total(rows) -> tuple[str, ...]:
    printed = [sum(row.printed[i] for row in rows) for i in (0, 1)]
    whole = sum((row.cost for row in rows), Cost())
    naive, stack = (sum((getattr(row, kind) for row in rows if row.naive), Cost()) for kind in ("naive", "stack"))
    said = f"{printed[0]:,.1f}K {printed[1]:,.0f}M"
    return ("sum", "", "", *_costs(whole), said, "", *_costs(naive), *_costs(stack))

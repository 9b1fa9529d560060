"""Table 1 recounted: what its channel columns cost, beside the paper's own columns, and each module's alternatives."""

import dataclasses

from keras_inception.layers.cost import Cost, convolution, naive_module, pointwise_stack, reduced_module
from keras_inception.models.googlenet import TABLE_1, Row

K, M = 1024, 1e6  # the paper's units: of weights, and of multiply-adds


@dataclasses.dataclass(frozen=True)
class RowCost:
    """A row of Table 1: what its channel columns cost, and what the paper prints beside them.

    Args:
        type: the row's first column.
        inputs: channels in.
        outputs: channels out.
        cost: of the channel columns.
        printed: the paper's params and ops, as numbers in K = 1024 and M = 10^6.
        naive: for a module: without reductions, on the same inputs, with the same filters of 1x1, 3x3 and 5x5.
        naive_outputs: for a module: the channels that it then has, for the pooling passes all of its inputs on.
        stack: for a module: two 1x1 convolutions of as many outputs.
        verdict: where the printed columns are wrong, in words; empty where they are right.
    """

    type: str
    inputs: int
    outputs: int
    cost: Cost
    printed: tuple[float, float]
    naive: Cost | None = None
    naive_outputs: int | None = None
    stack: Cost | None = None
    verdict: str = ""


def _separable_convolution_1() -> Cost:
    """The 7x7 of a convolution in each colour, eight times, and a 1x1 behind it, as in Google's later stems."""
    weights = 7 * 7 * 3 * 8 + 3 * 8 * 64
    return Cost(weights, 64, weights * 112 * 112)


def _other_networks(row: Row, inputs: int) -> list[tuple[str, Cost]]:
    """Networks that the printed columns of a row could be of, in words, and what they cost."""
    if row.patch_stride == "7x7/2":
        return [("a separable 7x7 with depth multiplier 8", _separable_convolution_1())]
    changes = {
        "inception (4a)": ("204 filters of 3x3", {"n3x3": 204}, inputs),
        "inception (4b)": ("508 inputs, which 4a with 204 filters gives", {}, 508),
        "inception (5a)": ("a 5x5 reduction to 48", {"n5x5_reduce": 48}, inputs),
    }
    if row.type not in changes:
        return []
    what, change, inputs = changes[row.type]
    return [(what, reduced_module(inputs, row.widths._replace(**change), *row.output[:2]))]


def _number(text: str) -> float:
    return float(text.rstrip("KM"))


def _params_agree(cost: Cost, printed: float) -> bool:
    """With or without biases, rounded either way: the paper does not round all its rows alike."""
    return cost.weights / K - 1 < printed < cost.parameters / K + 1


def _ops_agree(cost: Cost, printed: float) -> bool:
    return round(cost.operations / M) == printed


def _verdict(cost: Cost, printed, others) -> str:
    """Which printed columns are wrong, and what network they are right for, if one is known."""
    columns = {"params": _params_agree, "ops": _ops_agree}
    wrong = [name for (name, agree), number in zip(columns.items(), printed, strict=True) if not agree(cost, number)]
    if not wrong:
        return ""
    said = f"{' and '.join(wrong)} wrong"
    for what, other in others:
        fit = [n for n, value in zip(columns, printed, strict=True) if columns[n](other, value)]
        if set(wrong) <= set(fit):
            return f"{said}: right for {what}"
        if set(wrong) & set(fit):
            return f"{said}: {' and '.join(set(wrong) & set(fit))} right for {what}"
    return f"{said}, unexplained"


def table_1_costs() -> list[RowCost]:
    """The rows of Table 1 that have weights, recounted at 224 x 224."""
    rows, channels = [], 3
    for row in TABLE_1:
        if row.params:
            height, width, outputs = row.output
            extra = {}
            if row.module:
                w = row.widths
                cost = reduced_module(channels, w, height, width)
                extra = {
                    "naive": naive_module(channels, (w.n1x1, w.n3x3, w.n5x5), height, width),
                    "naive_outputs": w.n1x1 + w.n3x3 + w.n5x5 + channels,
                    "stack": pointwise_stack(channels, outputs, height, width),
                }
            elif row.widths:
                cost = convolution(channels, row.widths.n3x3_reduce, 1, height, width)
                cost += convolution(row.widths.n3x3_reduce, row.widths.n3x3, 3, height, width)
            else:
                size = 7 if row.patch_stride == "7x7/2" else 1
                cost = convolution(channels, outputs, size, height, width)
            printed = _number(row.params), _number(row.ops)
            verdict = _verdict(cost, printed, _other_networks(row, channels))
            name = f"{row.type} {row.patch_stride}".strip()
            rows.append(RowCost(name, channels, outputs, cost, printed, verdict=verdict, **extra))
        channels = row.output[-1]
    return rows

"""Sparse or dense: a layer of 1x1 convolutions as scipy's CSR, as clustered dense blocks, and as one dense product."""

import itertools
import statistics
import time

import numpy as np

# One over so many groups, for that is the density of as many blocks.
DENSITIES = tuple(1 / groups for groups in (100, 50, 33, 20, 12, 8, 5, 4, 3, 2))
# 4e's inputs and 1x1 filters, on the maps of 32 images.
INPUTS, FILTERS, POSITIONS = 528, 256, 32 * 14 * 14
CLAIMED = "the paper's claim"
CLAIM = (
    "section 3: even if arithmetic were reduced by 100x, lookups and cache misses would dominate, and sparse matrices "
    "would not pay off"
)


def sparse(threads, rounds, seconds) -> dict:
    """Milliseconds of the layer at each density, in every form, on one thread and on all.

    The same number of weights in each: spread at random for CSR; gathered in blocks, each of which joins a group of
    inputs to a group of filters and nothing else, for the clustered form. scipy's products run on one thread.
    """
    from threadpoolctl import threadpool_limits

    report = {"layer": f"{INPUTS} -> {FILTERS} at {POSITIONS} positions, float32", CLAIMED: CLAIM}
    for count in sorted({1, threads}):
        with threadpool_limits(count):
            report[f"{count} thread{'s' * (count > 1)}"] = _measure(rounds, seconds)
    return report


def _measure(rounds, seconds) -> dict:
    import scipy.sparse

    rng = np.random.default_rng(0)
    x = rng.normal(size=(INPUTS, POSITIONS)).astype("float32")
    dense = rng.normal(size=(FILTERS, INPUTS)).astype("float32")
    out = np.empty((FILTERS, POSITIONS), "float32")
    contestants = {"dense": lambda: np.matmul(dense, x, out=out)}
    for density in DENSITIES:
        matrix = scipy.sparse.random(FILTERS, INPUTS, density, "csr", "float32", rng)
        contestants[f"csr {density}"] = lambda matrix=matrix: matrix @ x
        contestants[f"blocks {density}"] = _blocks(dense, x, round(1 / density))
    times = _alternate(contestants, rounds, seconds)
    whole = times["dense"]
    rows = [
        {
            "density": round(density, 4),
            "csr, ms": round(1e3 * times[f"csr {density}"], 3),
            "blocks, ms": round(1e3 * times[f"blocks {density}"], 3),
            "csr / dense": round(times[f"csr {density}"] / whole, 3),
            "blocks / dense": round(times[f"blocks {density}"] / whole, 3),
        }
        for density in DENSITIES
    ]
    wins = list(itertools.takewhile(lambda row: row["csr / dense"] < 1, rows))
    return {
        "dense, ms": round(1e3 * whole, 3),
        "densities": rows,
        "csr beats dense up to a density of": wins[-1]["density"] if wins else None,
        "csr beats blocks at": [row["density"] for row in rows if row["csr, ms"] < row["blocks, ms"]],
    }


def _blocks(dense, x, count):
    """A product of blocks on the diagonal, once inputs and filters are sorted by their group."""
    rows = np.array_split(np.arange(FILTERS), count)
    columns = np.array_split(np.arange(INPUTS), count)
    parts = [
        (np.ascontiguousarray(dense[np.ix_(r, c)]), slice(r[0], r[-1] + 1), slice(c[0], c[-1] + 1))
        for r, c in zip(rows, columns, strict=True)
        if len(r) and len(c)
    ]
    out = np.empty((FILTERS, POSITIONS), "float32")

    def product():
        for part, to, of in parts:
            np.matmul(part, x[of], out=out[to])
        return out

    return product


def _alternate(contestants, rounds, seconds) -> dict[str, float]:
    """Median seconds of a call; the contestants take turns."""
    calls, times = {}, {name: [] for name in contestants}
    for name, call in contestants.items():
        call()
        start = time.perf_counter()
        call()
        calls[name] = max(1, round(seconds / 10 / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            times[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(values) for name, values in times.items()}


def draw(report: dict, png) -> None:
    """The times by density, both axes logarithmic, a panel for each number of threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(name, found) for name, found in report.items() if isinstance(found, dict)]
    figure = Figure(figsize=(6.2 * len(panels), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        percent = [100 * row["density"] for row in found["densities"]]
        axes.axhline(found["dense, ms"], color="#1c2330", label="one dense product")
        axes.plot(percent, [row["csr, ms"] for row in found["densities"]], "o-", color="#c8501e", label="CSR (scipy)")
        axes.plot(
            percent, [row["blocks, ms"] for row in found["densities"]], "s-", color="#2563eb", label="dense blocks"
        )
        axes.set(xscale="log", yscale="log", xlabel="weights that are not zero, %", ylabel="ms", title=name)
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    figure.suptitle(f"{report['layer']}\n{report[CLAIMED]}", fontsize="medium")
    figure.savefig(png, dpi=110)

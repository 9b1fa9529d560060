"""A detector and its published folder: several models in one, each in files that begin with its name."""

import dataclasses
import pathlib
import shutil
import tempfile

import numpy as np

from keras_inception import checkpoints
from keras_inception.convert.checkpoint import Checkpoint
from keras_inception.detection.box_regression import BoxRegression
from keras_inception.detection.multibox import MultiBoxProposals
from keras_inception.detection.rcnn import RCNN
from keras_inception.detection.scoring import MapScorer, RegionScorer
from keras_inception.detection.selective_search import SelectiveSearch, selective_search
from keras_inception.hub import folder, serialization

KIND = "detector"
REGRESSION, REGRESSION_WEIGHTS = f"regression.{folder.WEIGHTS}", "regression/weights"
# More classifiers or sources than that are no detector, but a way to fill a machine's memory.
MAX_CLASSIFIERS, MAX_SOURCES = 64, 8
_SEARCH = tuple(field.name for field in dataclasses.fields(SelectiveSearch))
_NUMBER = (int, float)


def write(detector: RCNN, path, write_model, load_model, *, metrics=None, half=False, provenance=None):
    """Writes the published folder of a detector, without a card, and proves that it loads back.

    Args:
        detector: the detector.
        path: a folder that does not exist.
        write_model: writes the folder of a model, and proves that it loads back.
        load_model: gives the model of a folder's content.
        metrics, half, provenance: see `push_to_hub`.

    Returns:
        What the JSON says.

    Raises:
        ValueError: a part of it cannot be published.
    """
    path = pathlib.Path(path)
    path.mkdir()
    proposers, sources = _described_sources(detector.proposals)
    classifiers, scoring = _described_scorer(detector.scorer)
    names = [f"classifier-{number}" for number in range(1, len(classifiers) + 1)]
    models = proposers | dict(zip(names, classifiers, strict=True))
    options = {
        "classes": list(detector.classes),
        "classifiers": len(names),
        "proposals": sources,
        "threshold": detector.threshold,
        "suppression": detector.suppression,
        "candidates": detector.candidates,
        **scoring,
    }
    with tempfile.TemporaryDirectory(prefix="keras_inception") as scratch:
        for name, model in models.items():
            written = pathlib.Path(scratch) / name
            write_model(model, written, half=half)
            for file in written.iterdir():
                shutil.move(file, path / f"{name}.{file.name}")
    spec = folder.read_file(path, f"{names[0]}.{folder.CONFIG}", limit=folder.MAX_TEXT)
    spec = folder.parse(spec.decode("utf-8")).spec
    if detector.regression is not None:
        weights = {REGRESSION_WEIGHTS: detector.regression.weights.astype(np.float32)}
        serialization.write(path / REGRESSION, Checkpoint(spec, weights))
    files = [file.name for file in path.iterdir()]
    facts = {"metrics": metrics, "options": options, "provenance": provenance}
    published = folder.describe(path, spec, files, kind=KIND, **facts)
    _compare(detector, load(folder.read(path), load_model), half)
    return published


def _described_sources(proposals) -> tuple[dict, list[dict]]:
    """The models of the sources of proposals, by name, and all sources as JSON data."""
    models, described = {}, []
    for source in proposals:
        source = SelectiveSearch() if source is selective_search else source
        if type(source) is SelectiveSearch:
            described.append({"source": "selective_search", **dataclasses.asdict(source)})
        elif type(source) is MultiBoxProposals:
            name = f"multibox-{len(models) + 1}"
            models[name] = source.model
            described.append({"source": name, "limit": source.limit, "threshold": source.threshold})
        else:
            raise ValueError(
                f"expected proposals by SelectiveSearch or MultiBoxProposals; Received: {type(source).__name__}"
            )
    return models, described


def _described_scorer(scorer) -> tuple[list, dict]:
    """The classifiers of a scorer, and how it uses them, as JSON data."""
    if type(scorer) is MapScorer:
        facts = {"layer": scorer.layer, "scale": scorer.scale, "context": scorer.context}
        return [scorer.model], {"scorer": "maps", **facts}
    if type(scorer) is RegionScorer:
        return scorer.models, {"scorer": "regions", "context": scorer.context}
    raise ValueError(f"expected a RegionScorer or a MapScorer; Received: {type(scorer).__name__}")


def _compare(detector, other, half) -> None:
    """Raises ValueError unless two detectors see the same in regions of an image, and find it in the same places.

    Their sources of proposals are the same by their arguments; of those that are networks, which were compared before,
    it is tried that they run.
    """
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    boxes = np.array([[0, 0, 64, 64], [8, 8, 40, 50], [30, 20, 60, 50]], np.float64)
    if [_arguments(source) for source in detector.proposals] != [_arguments(source) for source in other.proposals]:
        raise ValueError("expected a detector that loads back the same; Received: one of other proposals")
    for source in other.proposals:
        if type(source) is MultiBoxProposals:
            source(image)
    seen = []
    for each in (detector, other):
        found = [each.scorer(image, boxes)]
        if each.regression is not None:
            found.append(each.regression(each.scorer.features(image, boxes), boxes, [0, 0, 0]) / 64)
        seen.append(np.concatenate(found, axis=1))
    worst = float(np.abs(seen[0] - seen[1]).max())
    sixteen = any("16" in str(layer.compute_dtype) for layer in detector.scorer.model.layers)
    if not worst <= (5e-2 if half or sixteen else 1e-4):
        raise ValueError(f"expected a detector that loads back the same; Received: one that differs by {worst:.2g}")


def _arguments(source) -> tuple:
    if type(source) is MultiBoxProposals:
        return source.limit, source.threshold
    return dataclasses.astuple(SelectiveSearch() if source is selective_search else source)


def load(content: folder.Content, load_model) -> RCNN:
    """The detector of a published folder.

    Args:
        content: what was read of the folder.
        load_model: gives the model of a folder's content.

    Raises:
        CheckpointError: a model is damaged.
        ValueError: the JSON does not describe a detector.
    """
    options = dict(content.published.options)
    scorer = options.get("scorer")
    if scorer not in ("regions", "maps"):
        raise ValueError(f"expected the scorer regions or maps; Received: scorer={scorer!r:.100}")
    kinds = {"classes": list, "classifiers": int, "proposals": list, "candidates": int, "scorer": str}
    kinds |= dict.fromkeys(("threshold", "suppression", "context"), _NUMBER)
    kinds |= {"layer": str, "scale": _NUMBER} if scorer == "maps" else {}
    _check(options, kinds)
    if not all(isinstance(name, str) for name in options["classes"]):
        raise ValueError(f"expected the names of classes; Received: classes={options['classes']!r:.100}")
    sources, count = options["proposals"], options["classifiers"]
    names = [str(each.get("source")) for each in sources if isinstance(each, dict)]
    models = [name for name in names if name != "selective_search"]
    if len(sources) > MAX_SOURCES or len({*models}) < len(models):
        raise ValueError(
            f"expected up to {MAX_SOURCES} sources of proposals, each model once; Received: {len(sources)}: "
            f"{', '.join(names):.100}"
        )
    if not 1 <= count <= (MAX_CLASSIFIERS if scorer == "regions" else 1):
        raise ValueError(f"expected up to {MAX_CLASSIFIERS} classifiers, and one of maps; Received: {count}")
    described = checkpoints.checked_spec(content.part("classifier-1").published.spec).to_dict()
    if checkpoints.checked_spec(content.published.spec).to_dict() != described:
        raise ValueError("expected the spec of classifier-1; Received: another")
    sources = [_source(each, content, load_model) for each in sources]
    classifiers = [load_model(content.part(f"classifier-{number}")) for number in range(1, count + 1)]
    if scorer == "maps":
        scoring = {name: options[name] for name in ("layer", "scale", "context")}
        classifier = MapScorer(classifiers[0], **scoring)
    else:
        classifier = RegionScorer(classifiers, context=options["context"])
    facts = {name: options[name] for name in ("classes", "threshold", "suppression", "candidates")}
    return RCNN(classifier, sources, regression=_regression(content), **facts)


def _regression(content) -> BoxRegression | None:
    if REGRESSION not in content.files:
        return None
    tensors = serialization.parse(content.files[REGRESSION], content.published.spec, content.name(REGRESSION)).tensors
    if set(tensors) != {REGRESSION_WEIGHTS}:
        raise ValueError(f"expected {REGRESSION_WEIGHTS} in {REGRESSION}; Received: {sorted(tensors)!r:.100}")
    return BoxRegression(tensors[REGRESSION_WEIGHTS])


def _source(described, content, load_model):
    """A source of proposals."""
    name = described.get("source") if isinstance(described, dict) else None
    if name == "selective_search":
        _check(described, {"source": str, "mode": str, "smallest": _NUMBER, "width": None, "limit": None})
        return SelectiveSearch(**{field: described[field] for field in _SEARCH})
    if not isinstance(name, str) or not name.startswith("multibox-"):
        raise ValueError(f"expected proposals of selective_search or multibox-N; Received: {described!r:.100}")
    _check(described, {"source": str, "limit": int, "threshold": _NUMBER})
    model = load_model(content.part(name))
    return MultiBoxProposals(model, limit=described["limit"], threshold=described["threshold"])


def _check(given: dict, kinds: dict) -> None:
    """Raises ValueError unless these are the names, and the values are of these kinds; None: which is known later."""

    def fits(name):
        kind = kinds[name]
        return kind is None or isinstance(given[name], kind) and not isinstance(given[name], bool)

    wrong = {
        name: given.get(name) for name in {*given, *kinds} if name not in given or name not in kinds or not fits(name)
    }
    if wrong:
        raise ValueError(f"expected {', '.join(sorted(kinds))} of a detector; Received: {wrong!r:.200}")

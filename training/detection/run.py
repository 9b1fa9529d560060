"""From annotated photos to a detector: all that `python -m training.detect` brings together, each step once."""

import contextlib
import dataclasses
import hashlib
import logging
import pathlib
import sys

import numpy as np

import keras_inception
from keras_inception import checkpoints
from keras_inception.detection.annotations import AnnotatedPhotos
from keras_inception.detection.box_regression import BoxRegression
from keras_inception.detection.multibox import MultiBoxProposals
from keras_inception.detection.rcnn import RCNN
from keras_inception.detection.scoring import MapScorer, RegionScorer
from keras_inception.hub import folder as folders
from keras_inception.model_folder.loading import dtype_policy
from training.detection import multibox
from training.detection.box_regression import fit_regression
from training.detection.data import digest_of, read_splits
from training.detection.maps import pooled_regions, train_head
from training.detection.pictures import contact_sheet, draw_curves
from training.detection.proposals import coverage, propose, write_array
from training.detection.recipe import DetectionRecipe
from training.detection.regions import cut_for_training
from training.detection.rows import (
    ALONE,
    Row,
    Split,
    choose,
    each_alone,
    measure,
    measurements,
    rounded,
    rows,
    seconds_per_image,
    write,
)
from training.detection.scores import probabilities
from training.finish import command, session
from training.run import claim
from training.run import train as train_classifier

logger = logging.getLogger(__name__)

# Of the contact sheet: so many photos, and what is drawn on them.
SHOWN, SURE = 12, 0.5


def train(recipe: DetectionRecipe, *, name: str, data_dir, work_dir, settings=()) -> list[dict]:
    """Trains all parts, or goes on, and measures what they are worth together.

    Args:
        recipe: the recipe.
        name: its name.
        data_dir: the folder of annotated photos, as of `read_annotated`.
        work_dir: gets everything: `proposals/`, `multibox/`, `regions/`, `classifier_1/` and so on, `maps/`, `scores/`,
            and in the end `results.json`, `curves.png`, `detections.png`, and `detector/`, the published folder of the
            best detector on the second split.
        settings: the texts of `--set` that made this recipe of its file, for the card.

    Returns:
        The rows of the result.

    Raises:
        ValueError: the data or the work directory is not what the recipe needs.
        OSError: a file could not be read or written.
    """
    return _Run(recipe, name, pathlib.Path(data_dir), pathlib.Path(work_dir), settings).all()


class _Run:
    def __init__(self, recipe, name, data_dir, work_dir, settings):
        self.recipe, self.name, self.work_dir, self.settings = recipe, name, work_dir, settings
        self.splits = read_splits(data_dir, recipe)
        self.train, self.val, self.test = self.splits.values()
        claim(work_dir, recipe, photos={split: digest_of(photos) for split, photos in self.splits.items()})
        self.data = data_dir.resolve().name

    def all(self) -> list[dict]:
        detectors, val, test = self._parts()
        results, curves = [], {}
        compared, alone = rows(self.recipe), each_alone(self.recipe)
        measured = list(dict.fromkeys(compared + alone))  # the first alone is a row too
        on_val, on_test = (self._measurements(split, measured, detectors) for split in (val, test))
        found = {}
        for row, here, there in zip(_shown("measuring", measured), on_val, on_test, strict=True):
            suppression, chosen = choose(here, self.recipe.suppressions)
            found[row] = suppression, chosen, *measure(there, suppression)
        for row, seconds in zip(compared, self._seconds(compared, detectors), strict=True):
            suppression, chosen, facts, scores = found[row]
            covered = coverage(self.test, test.boxes(row))
            facts |= {
                "map50_val": rounded(chosen),
                "suppression": suppression,
                "proposals_per_image": round(covered.proposals, 1),
                "coverage": rounded(covered.covered),
                "coverage_by_class": {each: rounded(value) for each, value in covered.by_class.items()},
                "seconds_per_image": seconds,
            }
            if row.classifiers > 1 and not row.regression:
                facts["map50_of_each"] = [found[one][2]["map50"] for one in alone]
            results.append({**row.describe(detectors.modes), **facts})
            curves[f"{len(results)}. {_title(results[-1])}"] = scores
        write(self.work_dir / "results.json", results)
        best = max(range(len(results)), key=lambda number: results[number]["map50_val"] or 0.0)
        result = results[best]
        self._publish(detectors.of(compared[best], result["suppression"]), result)
        self._draw(curves, on_test[best].detections(result["suppression"]), result)
        return results

    def _parts(self) -> tuple["_Detectors", Split, Split]:
        """What detectors are put together of, trained; and what is known of the splits to choose and to measure on."""
        proposals = {"selective_search": self._propose("selective_search", self.recipe.search)}
        proposer = self._multibox()
        proposals["multibox"] = self._propose("multibox", proposer)
        both = {split: _together(proposals, split) for split in self.splits}
        if self.recipe.search_alone is not None:
            proposals[ALONE] = self._propose(ALONE, self.recipe.search_alone)
        self._cut(both)
        scorers = {}
        for number in range(1, self.recipe.classifiers + 1):
            scorers[number] = RegionScorer(self._classifier(number), context=self.recipe.context)
        if self.recipe.maps is not None:
            scorers["maps"] = self._maps(both["train"])
        regression = self._regression(scorers[1], both["train"]) if self.recipe.regression else None
        val, test = (self._scored(split, proposals, scorers) for split in ("val", "test"))

        return _Detectors(self.recipe, self.train.classes, scorers, proposer, regression), val, test

    def _measurements(self, split, compared, detectors):
        with _bar(f"candidates, {split.photos.name}", len(split.photos), "photo") as bar:
            return measurements([detectors.of(row) for row in compared], compared, split, detectors.scorers[1], bar)

    def _seconds(self, compared, detectors) -> list[float]:
        timed = [photo.open()[0] for photo in self.val.photos[: self.recipe.timed]]
        with _bar("seconds per image", len(timed), "photo") as bar:
            return seconds_per_image([detectors.of(row) for row in compared], timed, bar)

    def _propose(self, name, source) -> dict[str, list]:
        """The proposals of a source for all splits."""
        found = {}
        for split, photos in self.splits.items():
            folder = self.work_dir / "proposals" / name / split
            with _bar(f"{name}, {split}", len(photos), "photo") as bar:
                # Keras' models are called by one thread.
                parallel = not isinstance(source, MultiBoxProposals)
                found[split] = propose(photos, source, folder, progress=bar, parallel=parallel)
            covered = coverage(photos, found[split])
            each = ", ".join(f"{label} {share:.1%}" for label, share in covered.by_class.items())
            logger.info(
                "%s, %s: %.0f proposals per image, which cover %.1f %% (%s)",
                name,
                split,
                covered.proposals,
                100 * covered.covered,
                each,
            )
        return found

    def _multibox(self) -> MultiBoxProposals:
        options = dataclasses.asdict(self.recipe.multibox)
        weights, size, precision = (options.pop(key) for key in ("weights", "height_width", "precision"))
        proposing = {key: options.pop(key) for key in ("limit", "threshold")}

        def trunk():
            return keras_inception.GoogLeNet(include_top=False, weights=weights, input_shape=(*size, 3))

        with dtype_policy(precision), _bar("MultiBox", options["epochs"], "epoch") as bar:
            folder = self.work_dir / "multibox"
            model = multibox.train(trunk, self.train, folder, **options, seed=self.recipe.seed, progress=bar)
        return MultiBoxProposals(model, **proposing)

    def _cut(self, both) -> None:
        """The regions that the classifiers are trained on and evaluated with."""
        counts = {"train": self.recipe.regions_per_photo, "val": self.recipe.validation_regions_per_photo}
        for split, file in (("train", "train"), ("val", "validation")):
            path = self.work_dir / "regions" / f"{file}.npz"
            path.parent.mkdir(exist_ok=True)
            if path.exists():
                continue
            options = {"context": self.recipe.context, "seed": self.recipe.seed, "fill": self._fill()}
            sizes = {"per_photo": counts[split], "size": self.recipe.size}
            with _bar(f"regions, {file}", len(self.splits[split]), "photo") as bar:
                found = cut_for_training(self.splits[split], both[split], path, **sizes, **options, progress=bar)
            logger.info("Regions, %s: %s", file, ", ".join(f"{count} {label}" for label, count in found.items()))

    def _fill(self):
        """The colour that is nothing to the classifiers, for they subtract it."""
        weights = self.recipe.classifier.weights
        if weights is None:
            return self.recipe.classifier.network(len(self.train.classes) + 1).mean
        return checkpoints.load_checkpoint(weights, variant=self.recipe.classifier.variant).spec["mean"]

    def _classifier(self, number: int):
        folder = self.work_dir / f"classifier_{number}"
        if not (folder / "model" / folders.CONFIG).exists():
            recipe = self.recipe.nth(number)
            made_by = command(self.name, self.settings, "detect")
            regions = self.work_dir / "regions"
            train_classifier(recipe, name=self.name, data_dir=regions, work_dir=folder, made_by=made_by)
        with dtype_policy(self.recipe.precision):
            return keras_inception.from_hub(folder / "model")

    def _maps(self, proposals) -> MapScorer:
        """A detector's scorer that looks once, begun with the first classifier."""
        options, place = self.recipe.maps, self.work_dir / "maps" / "model"
        trained = (place / folders.CONFIG).exists()
        with dtype_policy(self.recipe.precision):
            source = place if trained else self.work_dir / "classifier_1" / "model"
            model = keras_inception.from_hub(source)
            scorer = MapScorer(model, options.layer, scale=options.scale, context=self.recipe.context)
        if trained:
            return scorer
        seeds = {"seed": self.recipe.seed}
        with _bar("pooled regions", len(self.train), "photo") as bar:
            count = self.recipe.regions_per_photo
            maps, labels = pooled_regions(scorer, self.train, proposals, count, **seeds, progress=bar)
        with _bar("the layers above", options.epochs, "epoch") as bar:
            sizes = {"epochs": options.epochs, "batch_size": options.batch_size}
            train_head(scorer, maps, labels, **sizes, learning_rate=options.learning_rate, **seeds, progress=bar)
        keras_inception.push_to_hub(model, place)
        return scorer

    def _regression(self, scorer, proposals):
        path = self.work_dir / "regression.npy"
        if path.exists():
            return BoxRegression(np.load(path, allow_pickle=False))
        sizes = {"penalty": self.recipe.penalty, "per_photo": self.recipe.regression_regions_per_photo}
        with _bar("box regression", len(self.train), "photo") as bar:
            found = fit_regression(scorer, self.train, proposals, **sizes, seed=self.recipe.seed, progress=bar)
        write_array(path, found.weights)
        return found

    def _scored(self, split, proposals, scorers) -> Split:
        photos, found = self.splits[split], {}
        for name, scorer in scorers.items():
            for source, boxes in proposals.items():
                if source == ALONE and name != 1:
                    continue
                # Of other weights or other boxes there is a folder of its own.
                digest = hashlib.sha256(b"".join([self._weights(name), *(part.tobytes() for part in boxes[split])]))
                folder = self.work_dir / "scores" / f"{name}" / f"{source}-{split}-{digest.hexdigest()[:12]}"
                with _bar(f"classifier {name}, {source}, {split}", sum(map(len, boxes[split])), "region") as bar:
                    found[name, source] = probabilities(scorer, photos, boxes[split], folder, progress=bar)
        return Split(photos, {source: boxes[split] for source, boxes in proposals.items()}, found)

    def _weights(self, name) -> bytes:
        """What tells the weights of a classifier from others: the hash of its file, in the JSON beside it."""
        place = self.work_dir / ("maps" if name == "maps" else f"classifier_{name}") / "model"
        return (place / folders.CONFIG).read_bytes()

    def _draw(self, curves, detections, result) -> None:
        photos = AnnotatedPhotos(self.test.name, self.test.classes, self.test.photos[:SHOWN])
        contact_sheet(self.work_dir / "detections.png", photos, detections[:SHOWN], self.train.classes, threshold=SURE)
        title = f"{self.name}: mAP at 0.5 of the best {result['map50']:.1%}" if result["map50"] else self.name
        try:
            draw_curves(self.work_dir / "curves.png", curves, title)
        except ImportError as error:
            logger.warning("%s", error)

    def _publish(self, detector, result) -> None:
        """The published folder of the best; one of an earlier call is replaced."""
        known = {name: result[name] for name in ("map50", "map50_95", "recall") if result[name] is not None}
        known |= {f"AP50 of {name}": value for name, value in result["by_class"].items() if value is not None}
        known |= {"dataset": self.data, "split": self.recipe.test_split}
        rules = "Pascal VOC 2010, IoU 0.5 (map50_95: COCO, IoU 0.5 to 0.95)"
        known["protocol"] = f"{rules}; suppression chosen on {self.recipe.val_split}"
        made = {
            "recipe": f"training/configs/{self.name}.py",
            "command": command(self.name, self.settings, "detect"),
            **session(self.work_dir / "run.json"),
        }
        place = self.work_dir / "detector"
        keras_inception.push_to_hub(detector, place, metrics=known, provenance=made)
        logger.info("The best on %s is %s; it is %s", self.recipe.val_split, _title(result), place)


class _Detectors:
    """The detectors of rows, whose parts they share."""

    def __init__(self, recipe, classes, scorers, proposer, regression):
        self.recipe, self.classes, self.scorers, self.regression = recipe, classes, scorers, regression
        models = [scorers[number].model for number in range(1, recipe.classifiers + 1)]
        self.ensemble = RegionScorer(models, context=recipe.context)
        searches = {"selective_search": recipe.search, ALONE: recipe.search_alone}
        self.modes = {name: search.mode for name, search in searches.items() if search is not None}
        self.sources = {**searches, "multibox": proposer}

    def of(self, row: Row, suppression: float = 0.3) -> RCNN:
        """That of a row."""
        one = self.scorers["maps" if row.maps else row.first]
        return RCNN(
            one if row.classifiers == 1 else self.ensemble,
            [self.sources[name] for name in row.sources],
            classes=self.classes,
            threshold=self.recipe.threshold,
            suppression=suppression,
            regression=self.regression if row.regression else None,
        )


def _together(proposals, split) -> list[np.ndarray]:
    """The proposals of all sources, for each photo."""
    return [np.concatenate(parts) for parts in zip(*(found[split] for found in proposals.values()), strict=True)]


def _title(result: dict) -> str:
    several = "" if result["classifiers"] == 1 else f", {result['classifiers']} classifiers"
    moved = ", box regression" if result["box_regression"] else ""
    once = ", features once per image" if result["features"] == "once per image" else ""
    share = "-" if result["map50"] is None else f"{result['map50']:.1%}"
    return f"{result['proposals']}{several}{moved}{once}: {share}"


@contextlib.contextmanager
def _bar(title: str, total: int, unit: str):
    """A progress bar on a terminal, as a function that is told how much was done."""
    from tqdm import tqdm

    with tqdm(total=total, desc=title, unit=unit, file=sys.stderr, disable=None, dynamic_ncols=True) as bar:
        yield bar.update


def _shown(title: str, items):
    with _bar(title, len(items), "row") as update:
        for item in items:
            yield item
            update(1)

"""A recipe: everything that decides the result of a training, as data. The defaults are the paper's section 6."""

import ast
import dataclasses
import json
import math
import pathlib
import runpy
import types
import typing

from keras_inception import GoogLeNetSpec, NetworkInNetworkSpec
from training.options import Augmentation

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float64")
SCHEDULES = ("exponential", "polynomial", "cosine", "constant")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained. Section 6 of the paper names few numbers; each default that it lacks has an anchor.

    Args:
        architecture: `"GoogLeNet"`, or `"NetworkInNetwork"`, which has no auxiliary heads.
        variant, stem, aux_heads, dropout: as in `keras_inception.GoogLeNet`; section 5: heads on, 40 %.
        widths: of a GoogLeNet trained from scratch: modules that are not the variant's; see `GoogLeNetSpec`.
        head_dropout: rate in the auxiliary heads (section 5: 70 %).
        aux_weight: share of each auxiliary loss (section 5: 0.3).
        synchronized: batch norm takes its statistics from all replicas together.
        batch_norm_momentum: share of their old value that its moving statistics keep in a step; None: the network's,
            0.99, which an evaluation lags behind in trainings of a few hundred steps.
        weights: what `GoogLeNet(weights=...)` takes, for fine-tuning; None begins from scratch.
        frozen_epochs: epochs at the beginning that train the classifiers alone.
        dataset: a TFDS name, `"folder"`, `"arrays"`, or `"synthetic"`.
        train_split, eval_split: its splits.
        labels: name of a label set that the trained model keeps; None for the data set's own class names.
        sizes: height and width of the input, in pixels; one per epoch, or one for all.
        eval_size: height and width of the input in evaluations, and of the finished model; None for the largest of
            `sizes`. A random patch shows things larger than the whole photo does, so that a network which was trained
            on somewhat smaller images sees them in an evaluation as large as it knows them (Touvron et al., 2019,
            "Fixing the train-test resolution discrepancy").
        resize_to: the short side before the central crop of an evaluation, in pixels.
        augmentation: what an image goes through (section 6).
        shuffle_buffer: undecoded examples that an order is drawn from.
        shard_by: `"examples"`, so that any number of workers sees the batches that one would, or `"files"`, so that
            each reads only its own.
        broken: `"skip"` leaves images out that cannot be decoded, named and counted; `"fatal"` ends the run.
        epochs: passes over the data. The paper says none; 250 are the 10M iterations of BVLC's solver.prototxt, which
            has the paper's schedule.
        batch_size: images per step, over all replicas. The paper says none; 32 is BVLC's, on word from the authors.
        learning_rate: the schedule's highest. The paper says none; 0.0015 is that of the un-normalized Inception in
            the batch-norm paper, section 4.2.
        schedule: `"exponential"` (section 6: -4 % every 8 epochs, in steps), `"polynomial"` (Caffe's poly),
            `"cosine"` or `"constant"`.
        decay_rate, decay_epochs: of the exponential schedule (section 6).
        power: of the polynomial schedule.
        warmup_epochs: a linear rise from a tenth of the learning rate to all of it, before the schedule begins.
        momentum: section 6: 0.9.
        nesterov: Nesterov's momentum instead of the classical.
        weight_decay: L2 penalty of kernels, added to the gradient as Caffe does; the paper says none, 2e-4 is BVLC's.
        bias_multiplier: factor of the learning rate of biases; BVLC's prototxt has 2.
        label_smoothing: share of the label that is spread over all classes.
        average: decay per step of the exponential average of the weights, which evaluation and the finished model use
            (section 6: Polyak averaging; 0.9999 is that of Google's later Inception trainer); None for none.
        seed: of initial weights, order, augmentation and dropout.
        weights_seed: of initial weights and dropout alone; None for `seed`. Models that differ in sampling alone, as
            those of the paper's ensemble do (section 7), have it in common.
        precision: Keras' dtype policy.
        deterministic: two runs on one device give the same bits: TensorFlow's op determinism, one operation at a time.
            (On JAX it is without effect.)
        checkpoint_every: steps from one checkpoint to the next.
        keep: checkpoints that are kept.
        evaluate_every: epochs from one evaluation to the next; the last is always evaluated.
        half: the finished model's kernels are stored in float16.

    Raises:
        ValueError: a field is not what it should be.
    """

    architecture: str = "GoogLeNet"
    variant: str = "paper"
    stem: str = "imagenet"
    aux_heads: bool = True
    widths: tuple[tuple[str, tuple[int, ...]], ...] | None = None
    dropout: float = 0.4
    head_dropout: float = 0.7
    aux_weight: float = 0.3
    synchronized: bool = False
    batch_norm_momentum: float | None = None
    weights: str | None = None
    frozen_epochs: int = 0

    dataset: str = "imagenet2012"
    train_split: str = "train"
    eval_split: str = "validation"
    labels: str | None = None
    sizes: tuple[int, ...] = (224,)
    eval_size: int | None = None
    resize_to: int = 256
    augmentation: Augmentation = Augmentation()
    shuffle_buffer: int = 16_384
    shard_by: str = "examples"
    broken: str = "skip"

    epochs: int = 250
    batch_size: int = 32
    learning_rate: float = 0.0015
    schedule: str = "exponential"
    decay_rate: float = 0.96
    decay_epochs: float = 8.0
    power: float = 0.5
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    bias_multiplier: float = 1.0
    label_smoothing: float = 0.0
    average: float | None = 0.9999

    seed: int = 0
    weights_seed: int | None = None
    precision: str = "float32"
    deterministic: bool = False
    checkpoint_every: int = 1000
    keep: int = 3
    evaluate_every: int = 1
    half: bool = False

    def __post_init__(self):
        if self.architecture not in ("GoogLeNet", "NetworkInNetwork"):
            raise ValueError(
                "expected architecture to be one of GoogLeNet, NetworkInNetwork; Received: "
                f"architecture={self.architecture!r}"
            )
        self.network(None)  # says what is wrong with variant, stem or widths
        positive = ("epochs", "batch_size", "learning_rate", "checkpoint_every", "keep", "evaluate_every")
        positive += ("decay_epochs", "decay_rate", "shuffle_buffer")
        checks = {name: (getattr(self, name) > 0, "above 0") for name in positive}
        shares = ("dropout", "head_dropout", "momentum", "label_smoothing")
        checks |= {name: (0 <= getattr(self, name) < 1, "0 or more, and below 1") for name in shares}
        counts = ("frozen_epochs", "weight_decay", "aux_weight", "power", "bias_multiplier", "seed")
        checks |= {name: (getattr(self, name) >= 0, "0 or more") for name in counts}
        choices = {"schedule": SCHEDULES, "broken": ("skip", "fatal"), "shard_by": ("examples", "files")}
        checks |= {
            name: (getattr(self, name) in known, f"one of {', '.join(known)}") for name, known in choices.items()
        }
        checks["average"] = (self.average is None or 0 < self.average < 1, "None, or between 0 and 1")
        momentum = self.batch_norm_momentum
        checks["batch_norm_momentum"] = (momentum is None or 0 <= momentum < 1, "None, or 0 or more, and below 1")
        checks["weights_seed"] = (self.weights_seed is None or self.weights_seed >= 0, "None, or 0 or more")
        checks["sizes"] = (
            len(self.sizes) in (1, self.epochs) and all(size > 0 for size in self.sizes),
            f"one size, or one for each of the {self.epochs} epochs",
        )
        checks["warmup_epochs"] = (0 <= self.warmup_epochs <= self.epochs, f"from 0 to the {self.epochs} epochs")
        checks["eval_size"] = (self.eval_size is None or self.eval_size > 0, "None, or above 0")
        checks["resize_to"] = (self.resize_to >= self.evaluated_size, "at least the size")
        checks["precision"] = (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        for name, (holds, expected) in checks.items():
            if not holds:
                raise ValueError(f"expected {name} to be {expected}; Received: {name}={getattr(self, name)!r}")
        if self.widths and self.weights is not None:
            raise ValueError(
                "expected no widths where training begins with weights, which have their own; Received: "
                f"widths={self.widths}, weights={self.weights!r}"
            )
        if self.aux_heads and self.changes_size:
            raise ValueError(
                "expected one size with aux_heads=True, whose linear layers depend on it; Received: "
                f"sizes={self.sizes}, eval_size={self.eval_size}"
            )

    def network(self, classes, **facts) -> GoogLeNetSpec | NetworkInNetworkSpec:
        """The spec of the network that is trained from scratch.

        Args:
            classes: how many.
            facts: further fields of the spec.

        Raises:
            ValueError: there is no such network.
        """
        if self.architecture == "GoogLeNet":
            own = {"stem": self.stem, "aux_heads": self.aux_heads, "widths": self.widths}
            return GoogLeNetSpec(self.variant, classes=classes, **own, **facts)
        if self.aux_heads or self.widths:
            raise ValueError(
                "expected aux_heads=False and no widths with architecture='NetworkInNetwork'; Received: "
                f"aux_heads={self.aux_heads}, widths={self.widths}"
            )
        spec = NetworkInNetworkSpec(self.variant, classes, **facts)
        if len(spec.channels) != 3:
            raise ValueError(f"expected a variant for colour images; Received: variant={self.variant!r}")
        return spec

    def size(self, epoch: int) -> int:
        """Height and width of the input in an epoch, which counts from 0."""
        return self.sizes[epoch if len(self.sizes) > 1 else 0]

    @property
    def evaluated_size(self) -> int:
        """Height and width of the input in evaluations."""
        return max(self.sizes, default=0) if self.eval_size is None else self.eval_size

    @property
    def changes_size(self) -> bool:
        """Whether the network sees images of several sizes."""
        return len({*self.sizes, self.evaluated_size}) > 1

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, which counts from 0."""
        warmup, total = self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (0.1 + 0.9 * step / warmup)
        done = (step - warmup) / max(1, total - warmup)
        if self.schedule == "exponential":
            periods = math.floor((step - warmup) / (self.decay_epochs * steps_per_epoch))
            return self.learning_rate * self.decay_rate**periods
        if self.schedule == "polynomial":
            return self.learning_rate * (1 - done) ** self.power
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate

    def to_dict(self) -> dict:
        """The recipe as JSON data."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def load_config(path, kind=None) -> dict:
    """Runs a file of `training/configs/` and gives its names: `recipe`, its docstring, and `callbacks` if there is one.

    Args:
        path: the file.
        kind: the class of the recipe; None for `Recipe`.

    Raises:
        ValueError: there is no such file, or no such recipe named `recipe` in it.
    """
    kind = kind or Recipe
    path = pathlib.Path(path)
    if not path.is_file():
        known = ", ".join(sorted(p.name for p in (pathlib.Path(__file__).parent / "configs").glob("[!_]*.py")))
        raise ValueError(
            f"expected the file of a recipe, such as those in training/configs ({known}); Received: {path}"
        )
    names = runpy.run_path(str(path))
    if not isinstance(names.get("recipe"), kind):
        raise ValueError(
            f"expected {path} to define recipe = {kind.__name__}(...); Received: {type(names.get('recipe')).__name__}"
        )
    return names


def with_settings(recipe, settings):
    """A recipe with fields replaced, as `--set field=value` does; `augmentation.mirror=False` reaches inside.

    Args:
        recipe: the recipe, or another dataclass.
        settings: texts `field=value`; the value is a Python literal, or a text that stands for itself.

    Raises:
        ValueError: no such field, or a value that is none of it.
    """
    changes = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"expected --set field=value; Received: --set {setting}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
        field, changed = _changed(recipe, changes, name.strip(), value)
        changes[field] = changed
    # All at once, for one may only hold with another.
    return dataclasses.replace(recipe, **changes)


def _changed(recipe, changes: dict, name: str, value):
    """The field that a setting changes, and its new value; `changes` are those of the settings before."""
    owner, _, inner = name.partition(".")
    fields = {field.name: field for field in dataclasses.fields(recipe)}
    if owner not in fields:
        raise ValueError(f"expected a field of {type(recipe).__name__}, one of {', '.join(fields)}; Received: {name}")
    current = changes.get(owner, getattr(recipe, owner))
    if dataclasses.is_dataclass(current):
        if not inner and value is None and types.NoneType in typing.get_args(fields[owner].type):
            return owner, None
        if not inner:
            parts = ", ".join(f"{owner}.{field.name}" for field in dataclasses.fields(current))
            raise ValueError(f"expected a field inside {owner}, one of {parts}; Received: {name}")
        part, changed = _changed(current, {}, inner, value)
        return owner, dataclasses.replace(current, **{part: changed})
    if inner:
        raise ValueError(f"expected {owner} to be given as a whole; Received: {name}")
    return owner, _fitting(fields[owner], value)


def _fitting(field, value):
    """The value as the field's type has it; `--set sizes=224` and `--set dropout=0` mean what they seem to."""
    try:
        return _as(field.type, value)
    except TypeError:
        kind = field.type.__name__ if isinstance(field.type, type) else field.type
        raise ValueError(f"expected {field.name} to be of type {kind}; Received: {field.name}={value!r}") from None


def _as(kind, value):
    if isinstance(kind, types.UnionType):
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
        return None if value is None else _as(kind, value)
    if typing.get_origin(kind) is tuple:
        kinds, parts = typing.get_args(kind), value if isinstance(value, (tuple, list)) else [value]
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(parts)
        if len(kinds) != len(parts):
            raise TypeError
        return tuple(_as(part_kind, part) for part_kind, part in zip(kinds, parts, strict=True))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError
    return value

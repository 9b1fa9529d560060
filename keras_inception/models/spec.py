"""What every network says of itself: the fields of a spec that all have, and the checks of a stranger's."""

import contextlib
import dataclasses
import math
import operator
from typing import ClassVar


def expect(condition, what: str, **received) -> None:
    """Raises ValueError, which names the one field that was received, unless the condition holds."""
    if not condition:
        ((name, value),) = received.items()
        raise ValueError(f"expected {name} to be {what}; Received: {name}={value!r:.200}")


def is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class NetworkSpec:
    """Which network a set of weights belongs to, as plain data that is stored with them.

    The spec of an architecture is a frozen dataclass with at least these fields:

    Args:
        variant: the name of one of its variants.
        classes: outputs of the classifier.
        input_size: height and width that the weights were made for, one number or two.
        mean: of the pixels, per channel.
        scale: factor after the mean, per channel.
        labels: name of a label set, a list of labels, or None.
        preprocessing: how a photo becomes the input (`Preprocessing.to_dict()`), or None.
        source: where the weights came from, or None.
    """

    ARCHITECTURE: ClassVar[str]
    aux_heads = False  # whether it has auxiliary classifiers

    def settle(self, defaults: dict) -> None:
        """Puts the variant's values where none was given, and checks what every spec has.

        A spec may come from a stranger's file, so nothing is taken for what it should be.

        Raises:
            ValueError: a field is not what it should be.
        """
        for field, default in defaults.items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, default)
        if not isinstance(self.classes, bool):
            with contextlib.suppress(TypeError):
                object.__setattr__(self, "classes", operator.index(self.classes))  # NumPy's integers too
        for field in (field.name for field in dataclasses.fields(self)):
            if isinstance(getattr(self, field), list):
                object.__setattr__(self, field, tuple(getattr(self, field)))
        expect(is_count(self.classes), "a positive integer", classes=self.classes)
        sides = self.input_size if isinstance(self.input_size, tuple) else (self.input_size,) * 2
        expect(
            len(sides) == 2 and all(map(is_count, sides)), "one or two positive integers", input_size=self.input_size
        )
        for field in ("mean", "scale"):
            values = getattr(self, field)
            whole = isinstance(values, tuple) and len(values) == len(self.channels) and all(map(is_number, values))
            said = ", ".join(self.channels)
            expect(whole, f"{len(self.channels)} numbers, of {said}", **{field: values})
        names = isinstance(self.labels, tuple) and all(isinstance(label, str) for label in self.labels)
        expect(self.labels is None or isinstance(self.labels, str) or names, "a name or names", labels=self.labels)
        if names:
            expect(len(self.labels) == self.classes, f"{self.classes} labels, one per class", count=len(self.labels))
        expect(
            self.preprocessing is None or isinstance(self.preprocessing, dict),
            "an object",
            preprocessing=self.preprocessing,
        )
        expect(self.source is None or isinstance(self.source, str), "a text", source=self.source)

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the input's channels."""
        return ("R", "G", "B")

    @property
    def min_size(self) -> int:
        """The smallest height and width that the network takes."""
        raise NotImplementedError

    @property
    def height_width(self) -> tuple[int, int]:
        """The input size as a pair."""
        return self.input_size if isinstance(self.input_size, tuple) else (self.input_size, self.input_size)

    def to_dict(self) -> dict:
        """The spec as JSON data, with the architecture's name."""
        return {"architecture": self.ARCHITECTURE, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, data: dict) -> "NetworkSpec":
        """The spec of `to_dict`.

        Raises:
            ValueError: another architecture, or fields that a spec does not have.
        """
        data = dict(data)
        architecture = data.pop("architecture", cls.ARCHITECTURE)
        if architecture != cls.ARCHITECTURE:
            raise ValueError(f"expected the architecture {cls.ARCHITECTURE}; Received: architecture={architecture!r}")
        fields = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(data) - set(fields)):
            raise ValueError(f"expected fields of {', '.join(fields)}; Received: {', '.join(unknown):.200}")
        return cls(**data)

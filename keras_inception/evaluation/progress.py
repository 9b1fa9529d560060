"""What is done of an evaluation, kept in a file, so that one that was killed goes on."""

import copy
import hashlib
import json
import os
import pathlib
import time

import numpy as np

SAVE_EVERY = 30.0  # seconds from one writing to the next


class Progress:
    """Counts that survive their process.

    Args:
        path: the file; None for none. Of several workers each has its own, whose name ends with its number.
        tallies: empty `Tally` objects, which are filled with what was done.
        identity: gives a text that tells one evaluation from another; asked for only where there is a file.
        worker: index and count.

    Raises:
        ValueError: the file is of another evaluation, or of none.
    """

    def __init__(self, path, tallies, identity, *, worker=(0, 1)):
        self._state = 0, list(tallies)
        self.path = None if path is None else pathlib.Path(path)
        if self.path is None:
            return
        if worker[1] > 1:
            self.path = self.path.with_name(f"{self.path.name}.{worker[0]}")
        self._identity = f"{identity()} worker {worker[0]} of {worker[1]}"
        if self.path.exists():
            self._load()
        self._saved = time.monotonic()

    @property
    def done(self) -> int:
        """How many photos are counted."""
        return self._state[0]

    @property
    def tallies(self) -> list:
        """The `Tally` of each group, of so many photos."""
        return self._state[1]

    def _load(self):
        try:
            with np.load(self.path, allow_pickle=False) as file:
                identity, done = str(file["identity"]), int(file["done"])
                vectors = [file[name] for name in file if name.startswith("tally")]
        except Exception as error:  # zipfile alone has half a dozen kinds, RuntimeError and NotImplementedError too
            raise ValueError(f"expected the file of an evaluation; Received: {self.path} ({error})") from error
        if identity != self._identity:
            raise ValueError(
                "expected the file of this evaluation (the same weights, settings and data), or none; "
                f"Received: {self.path}, of another"
            )
        tallies = [
            type(tally).from_vector(vector, len(tally.top5))
            for tally, vector in zip(self.tallies, vectors, strict=True)
        ]
        if any(tally.images != done for tally in tallies):
            counts = ", ".join(str(tally.images) for tally in tallies)
            raise ValueError(f"expected counts of {done} photos; Received: {self.path}, with those of {counts}")
        self._state = done, tallies

    def add(self, probabilities, labels) -> None:
        """Counts some more photos: all of it or, where Ctrl-C comes in between, nothing.

        Args:
            probabilities: of each group, (n, classes).
            labels: integers (n,).

        Raises:
            ValueError: as from `Tally.add`.
            OSError: the file cannot be written.
        """
        tallies = copy.deepcopy(self.tallies)
        for tally, part in zip(tallies, probabilities, strict=True):
            tally.add(part, labels)
        self._state = self.done + len(labels), tallies
        if self.path is not None and time.monotonic() - self._saved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        if self.path is None:
            return
        temporary = self.path.with_name(f"{self.path.name}.part")
        done, tallies = self._state
        vectors = {f"tally{number}": tally.to_vector() for number, tally in enumerate(tallies)}
        with open(temporary, "wb") as file:
            np.savez(file, identity=self._identity, done=done, **vectors)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        self._saved = time.monotonic()


def fingerprint(models, photos, *settings) -> str:
    """A text that is another for other weights, other images or other settings.

    Args:
        models: their weights count, and what they are.
        photos: a `tf.data.Dataset` of (image, label, name), of which the first counts.
        settings: whatever else does, with a `repr` of its own.
    """
    digest = hashlib.sha256()
    for model in models:
        layers = [(type(layer).__name__, _essential(_config(layer))) for layer in model.layers]
        digest.update(json.dumps(layers, sort_keys=True, default=str).encode())
        for variable in model.weights:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    for image, label, name in photos.take(1):
        digest.update(np.asarray(image.numpy()).tobytes() if image.shape.rank else image.numpy())
        digest.update(json.dumps([int(label), name.numpy().decode(errors="replace")]).encode())
    digest.update(int(photos.cardinality()).to_bytes(8, "big", signed=True))
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def _config(layer):
    """A layer's configuration; of a layer of somebody's own, which has none, nothing."""
    try:
        return layer.get_config()
    except NotImplementedError:
        return None


def _essential(config):
    """A layer's configuration without what another process may have otherwise: names, and how weights were begun."""
    if isinstance(config, dict):
        kept = {
            key: value for key, value in config.items() if key not in ("name", "seed") and "_initializer" not in key
        }
        return {key: _essential(value) for key, value in kept.items()}
    return [_essential(value) for value in config] if isinstance(config, (list, tuple)) else config

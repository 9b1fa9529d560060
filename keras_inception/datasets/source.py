"""What a data set is to a pipeline: its examples in an order that is a function of a seed, each with a name."""

import abc
import hashlib
import os

import numpy as np

BLOCK = 256  # examples


def cores() -> int:
    """The cores that this process may use, for the parallel parts of a pipeline."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


class Source(abc.ABC):
    """A split of a data set.

    Attributes:
        name: for messages, such as `"cifar10 train"`.
        classes: the names of the classes, in label order.
        num_files: files that can be read independently of each other; 0 where there are none.
        fully_shuffled: whether a seed puts all examples into a random order, or the files alone.
        needs_python: an example that only a process can load that has Python, where one is known; else None.
    """

    name: str
    classes: tuple[str, ...]
    num_files = 0
    fully_shuffled = True
    needs_python: str | None = None

    @abc.abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    def contents(self) -> tuple:
        """What tells this split from another, or from itself as it was before something was added: small, and plain."""
        return self.name, self.classes, len(self)

    @abc.abstractmethod
    def references(self, *, seed=None, shard: tuple[int, int] = (0, 1)):
        """The examples in order, as something small to shuffle and skip, from which `load` makes the example.

        Args:
            seed: int, or an integer tensor: decides the order; None: always the same order.
            shard: index and count; this part of the examples, whole files where there are files. The parts of all
                indices are disjoint, complete, and the same for all seeds.

        Returns:
            A `tf.data.Dataset` of dicts with at least `"id"`, a string, and `"label"`, int64.
        """

    @abc.abstractmethod
    def load(self, reference: dict) -> dict:
        """The example of a reference: `"id"`, `"image"` and `"label"`, as `examples` gives it."""

    def examples(self, *, seed=None, shard: tuple[int, int] = (0, 1)):
        """The examples in order.

        Args:
            seed, shard: as for `references`.

        Returns:
            A `tf.data.Dataset` of dicts: `"id"`, a string that no other example of the split has; `"image"`, a string
            with the encoded image, or uint8 (h, w, 3); `"label"`, int64.
        """
        return self.references(seed=seed, shard=shard).map(self.load)


class IndexedSource(Source):
    """Examples that are found by their number.

    Attributes:
        labels: of all examples, int64 (n,).
        ids: of all examples, bytes; None where these are their numbers.
    """

    ids: list[bytes] | None = None

    def contents(self):
        digest = hashlib.sha256(np.ascontiguousarray(self.labels).tobytes())
        for name in self.ids or ():
            digest.update(name + b"\0")
        return *super().contents(), digest.hexdigest()

    def references(self, *, seed=None, shard=(0, 1)):
        import tensorflow as tf

        numbers = tf.data.Dataset.from_tensor_slices(order(len(self), seed, shard))
        # In blocks: a call for each example would take longer than reading a small photo from the disk.
        references = numbers.batch(BLOCK).map(self._references).unbatch()
        # Which `unbatch` forgets.
        count = len(range(shard[0], len(self), shard[1]))
        return references.apply(tf.data.experimental.assert_cardinality(count))

    @abc.abstractmethod
    def _references(self, numbers) -> dict:
        """The references of examples, by their numbers, int64 (n,): tensors (n,) by key."""

    def _tensor(self, name: str):
        """An attribute as a tensor, made once, and on the CPU, where the pipeline runs."""
        import tensorflow as tf

        if name not in self._tensors:
            with tf.init_scope(), tf.device("CPU:0"):
                self._tensors[name] = tf.constant(getattr(self, name))
        return self._tensors[name]


def order(count, seed, shard):
    """The numbers from 0 to `count` of this part, in the order of the seed: int64."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        numbers = tf.range(shard[0], count, shard[1], dtype=tf.int64)
        return numbers if seed is None else tf.random.experimental.stateless_shuffle(numbers, tf.stack([seed, 0]))

"""The pickle of a state dict, read without a pickle machine that could run what it says.

A pickle is a program. The one that PyTorch writes builds dicts, tuples, strings and integers, and calls three
functions; the small machine here knows that much, refuses everything else by name, and turns the calls into plain
descriptions.
"""

import dataclasses
import io
import math
import pickletools
import warnings

import numpy as np

from keras_inception.convert.checkpoint import CheckpointError

# A state dict of GoogLeNet takes 20 thousand operations in 80 kB.
MAX_OPERATIONS = 200_000
MAX_PICKLE = 4 << 20
MAX_RANK = 8

STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": "<u2",  # NumPy has no such type: `StateDict.array` widens it
    "torch LongStorage": "<i8",  # the counters of batch norm; the next ones are in training checkpoints
    "torch IntStorage": "<i4",
    "torch ByteStorage": "|u1",
    "torch BoolStorage": "|u1",
}
_CALLS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.parameter Parameter",
}


@dataclasses.dataclass(frozen=True)
class _Global:
    """A class or function that the pickle names. It is never imported."""

    name: str


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A row of numbers that lies outside the pickle."""

    kind: str
    key: str
    count: int

    @property
    def size(self) -> int:
        return self.count * np.dtype(STORAGES[self.kind]).itemsize


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor as the pickle describes it: a window into a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple

    def __post_init__(self):
        numbers = (self.offset, *self.shape, *self.strides)
        if not len(self.shape) == len(self.strides) <= MAX_RANK or not all(
            type(n) is int and 0 <= n < 1 << 40 for n in numbers
        ):
            raise CheckpointError("expected a shape and strides of as many integers, none negative; Received: others")
        # The elements must exist, and none may serve twice: an expanded tensor is a few bytes that claim to be many.
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))
        if last >= self.storage.count or not 0 < math.prod(self.shape) <= self.storage.count:
            raise CheckpointError(
                f"expected a tensor inside its storage of {self.storage.count}; Received: one beyond it"
            )


def unpickled(stream: io.BytesIO):
    """The next object of `stream`, and the storages that it refers to, by key."""
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pickletools, on a name with a stray backslash
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if count == MAX_OPERATIONS:
                    raise CheckpointError(f"expected at most {MAX_OPERATIONS} operations in a pickle; Received: more")
                machine.step(opcode.name, argument)
        return machine.result(), machine.storages
    except (ValueError, IndexError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"expected the pickle of a state dict; Received: {str(error)[:100]}") from error


class _Machine:
    """A pickle machine that knows what a state dict needs: it builds plain data, and calls nothing."""

    _PUSHED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
    _NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
    _TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING", "BINSTRING"}

    def __init__(self):
        self.storages: dict[str, _Storage] = {}
        self._stack: list = []
        self._outer: list[list] = []  # the stacks below each mark
        self._memo: dict = {}

    def result(self):
        if self._outer or len(self._stack) != 1:
            raise CheckpointError(f"expected one object in the pickle; Received: {len(self._stack)}")
        return self._stack[0]

    def step(self, operation: str, argument) -> None:
        push, pop = self._stack.append, self._stack.pop
        if operation in self._NUMBERS or operation in self._TEXTS:
            push(argument)
        elif operation in self._PUSHED:
            push(self._PUSHED[operation])
        elif operation in ("EMPTY_DICT", "EMPTY_LIST"):
            push({} if operation == "EMPTY_DICT" else [])
        elif operation in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif operation in ("BINGET", "LONG_BINGET"):
            push(self._memo[argument])
        elif operation == "MARK":
            self._outer.append(self._stack)
            self._stack = []
        elif operation == "TUPLE":
            items = tuple(self._marked())
            self._stack.append(items)
        elif operation in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(operation[-1])
            push(tuple(reversed([pop() for _ in range(count)])))
        elif operation in ("SETITEM", "SETITEMS"):
            items = self._marked() if operation == "SETITEMS" else [pop(), pop()][::-1]
            self._set_items(self._stack[-1], items)
        elif operation in ("APPEND", "APPENDS"):
            items = self._marked() if operation == "APPENDS" else [pop()]
            self._plain(self._stack[-1], list).extend(items)
        elif operation == "GLOBAL":
            push(self._global(argument))
        elif operation == "STACK_GLOBAL":
            name, module = pop(), pop()
            push(self._global(f"{self._plain(module, str)} {self._plain(name, str)}"))
        elif operation == "BINPERSID":
            push(self._storage(pop()))
        elif operation == "REDUCE":
            arguments, function = pop(), pop()
            push(self._call(self._plain(function, _Global).name, self._plain(arguments, tuple)))
        elif operation == "BUILD":
            self._build(pop())
        elif operation not in ("PROTO", "FRAME", "STOP"):
            raise CheckpointError(f"expected the pickle of a state dict; refused: the operation {operation}")

    def _marked(self) -> list:
        """Everything above the last mark."""
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _plain(self, value, kind):
        if type(value) is not kind:
            raise CheckpointError(
                f"expected a {kind.__name__.strip('_')} in the pickle; Received: {type(value).__name__}"
            )
        return value

    def _set_items(self, target, items: list) -> None:
        self._plain(target, dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A nested tuple as a key would be hashed again for every way into it: 2 ** depth.
            if type(key) not in (str, int) or key in target:
                raise CheckpointError(
                    f"expected every name once; Received: {str(key)[:80] if type(key) is str else type(key)}"
                )
            target[key] = value

    def _global(self, name: str) -> _Global:
        if name not in STORAGES and name not in _CALLS:
            raise CheckpointError(f"expected a state dict; refused: {'.'.join(name.split(' '))[:80]}")
        return _Global(name)

    def _storage(self, identity) -> _Storage:
        """('storage', type, key, location, count), and in old files the place in another storage, which nobody used."""
        word, kind, key, _, count, *view = self._plain(identity, tuple)
        if word != "storage" or type(kind) is not _Global or kind.name not in STORAGES or view not in ([], [None]):
            raise CheckpointError("expected a storage in the pickle; Received: another persistent identity")
        if type(key) is not str or type(count) is not int or not 0 <= count < 1 << 40:
            raise CheckpointError("expected the key of a storage and its size; Received: others")
        storage = _Storage(kind.name, key, count)
        if self.storages.setdefault(key, storage) != storage:
            raise CheckpointError(f"expected one description of storage {key[:40]!r}; Received: two that differ")
        return storage

    def _call(self, name: str, arguments: tuple):
        if name == "collections OrderedDict":
            target = {}
            for pair in self._plain(arguments[0], list) if arguments else ():  # Python 2 gives the items here
                self._set_items(target, self._plain(pair, list))
            return target
        if name == "torch._utils _rebuild_tensor_v2":
            storage, offset, shape, strides = arguments[:4]
            return Tensor(
                self._plain(storage, _Storage), offset, self._plain(shape, tuple), self._plain(strides, tuple)
            )
        if name in ("torch._utils _rebuild_parameter", "torch.nn.parameter Parameter"):
            return self._plain(arguments[0], Tensor)
        raise CheckpointError(f"expected a state dict; refused: a call of {name}")

    def _build(self, state) -> None:
        """A state dict has its modules' versions as an attribute, `_metadata`; nothing else may set attributes."""
        self._plain(self._stack[-1], dict)
        if set(self._plain(state, dict)) != {"_metadata"}:
            raise CheckpointError("expected no attributes but _metadata; refused: the operation BUILD")

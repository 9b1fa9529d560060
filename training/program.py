"""How a program of this folder ends: with what it prints, or with one sentence that says what went wrong."""

import re
import sys

from training.loop import NotFiniteError


def one_sentence(error) -> str | None:
    """What went wrong, for whoever gave the command; None for what only a traceback explains."""
    text = str(error)
    if found := re.search(r"expected [^\n]*?; Received: [^\n]*", text):  # also from inside TensorFlow's own errors
        sentence = found[0].split(" [[")[0].strip()
        return sentence.removesuffix("]") if "assertion failed: [" in text else sentence
    if found := re.search(r"([^\s{}]+); (No such file or directory|Permission denied|Input/output error)", text):
        return f"expected a file that can be read; Received: {found[1]} ({found[2]})"
    if isinstance(error, MemoryError):
        return f"expected enough memory; Received: {' '.join(text.split()) or 'less'}"
    if isinstance(error, (OSError, NotFiniteError, ImportError)):
        return " ".join(text.split())
    return None


def finish(name: str, program) -> int:
    """Runs a program and prints what it returns.

    Args:
        name: of the program, before its errors.
        program: called without arguments.

    Returns:
        The exit code: 0; or 1 after an error that one sentence explains. Any other error is raised.
    """
    try:
        print(program())
    except Exception as error:
        sentence = one_sentence(error)
        if sentence is None:
            raise
        print(f"{name}: {sentence}", file=sys.stderr)
        return 1
    return 0

"""What a program ran on, in the words of its maker."""

import pathlib
import platform


def processor() -> str:
    """The name of the CPU; what Python knows of it where the system does not say."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())

"""Which tasks a SLURM step has, and where, from the variables that srun sets."""

import re


def find_tasks(environ, port: int) -> tuple[tuple[str, ...], int]:
    """The addresses of all tasks of a SLURM step, in the order of their ranks, and the rank of this one.

    Args:
        environ: the environment, a mapping with SLURM's variables.
        port: the first port of each node; more tasks on a node take those above.

    Returns:
        Addresses `host:port`, none for a single task; and this task's index.

    Raises:
        ValueError: the variables contradict each other.
    """

    def variable(*names):
        for name in names:
            if environ.get(name):
                return environ[name]
        raise ValueError(f"expected SLURM to set {' or '.join(names)}; Received: neither, outside of srun")

    def number(*names):
        value = variable(*names)
        if not value.isdecimal():
            raise ValueError(f"expected {' or '.join(names)} to be a number; Received: {value!r}")
        return int(value)

    tasks = number("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    if tasks == 1:
        return (), 0
    nodes = expand_nodes(variable("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"))
    counts = _expand_counts(variable("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"))
    if len(nodes) != len(counts) or sum(counts) != tasks:
        raise ValueError(
            f"expected SLURM to place its {tasks} tasks on its nodes; Received: {counts} tasks on {','.join(nodes)}"
        )
    # The tasks of one node cannot share a port.
    places = [(node, port + local) for node, count in zip(nodes, counts, strict=True) for local in range(count)]
    index = number("SLURM_PROCID")
    if index >= tasks:
        raise ValueError(f"expected SLURM_PROCID below the {tasks} tasks; Received: {index}")
    here = environ.get("SLURMD_NODENAME")
    if here in nodes and here != places[index][0]:
        raise ValueError(
            f"expected task {index} on node {places[index][0]}, as srun --distribution=block "
            f"places it; Received: SLURMD_NODENAME={here}"
        )
    return tuple(f"{node}:{own}" for node, own in places), index


def expand_nodes(text: str) -> list[str]:
    """The names in a SLURM node list, in its order: `"gpu[01-03,7],login2"` are gpu01, gpu02, gpu03, gpu7, login2.

    TensorFlow's own SlurmClusterResolver sorts the names as text, n10 before n9, and then the ranks are wrong.

    Raises:
        ValueError: it is no node list.
    """
    nodes = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text):
        names = [""]
        for literal, ranges in re.findall(r"([^\[\]]+)|\[([^\[\]]*)\]", part):
            names = [name + end for name in names for end in ([literal] if literal else _expand_ranges(ranges, text))]
        nodes += names
    rebuilt = ",".join(re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text))
    if not nodes or rebuilt != text:
        raise ValueError(f"expected a SLURM node list such as gpu[01-03],login2; Received: {text!r}")
    return nodes


def _expand_ranges(ranges: str, text: str) -> list[str]:
    numbers = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise ValueError(f"expected a SLURM node list such as gpu[01-03],login2; Received: {text!r}")
        numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return numbers


def _expand_counts(text: str) -> list[int]:
    """SLURM's tasks per node: `"2(x3),1"` are 2, 2, 2, 1."""
    counts = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if found is None:
            raise ValueError(f"expected SLURM's tasks per node, such as 2(x3),1; Received: {text!r}")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts

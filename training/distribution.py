"""Which processes and devices a run uses: from arguments, TF_CONFIG or SLURM to a `tf.distribute` strategy."""

import dataclasses
import json
import os
import re
import socket
import time

from training import slurm

TASKS = ("worker", "ps", "chief")
STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "parameter_server", "tpu")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run, and which of them this one is. Without addresses it is alone.

    Args:
        workers: addresses `host:port`; without parameter servers the first worker is the chief.
        parameter_servers: addresses of the processes that hold the weights.
        coordinator: address of the process that hands out the steps, with parameter servers.
        task_type: `"worker"`, `"ps"` (a parameter server) or `"chief"` (the coordinator), TensorFlow's words.
        task_index: which one of its kind, from 0.

    Raises:
        ValueError: there is no such task, or parameter servers, their workers and their coordinator are not all there.
    """

    workers: tuple[str, ...] = ()
    parameter_servers: tuple[str, ...] = ()
    coordinator: str | None = None
    task_type: str = "worker"
    task_index: int = 0

    def __post_init__(self):
        if self.task_type not in TASKS:
            raise ValueError(f"expected the task type to be worker, ps or chief; Received: {self.task_type!r}")
        addresses = (*self.workers, *self.parameter_servers, *([self.coordinator] if self.coordinator else []))
        for address in addresses:
            if not (isinstance(address, str) and re.fullmatch(r"[^\s:]+:\d+|\[[0-9a-fA-F:]+\]:\d+", address)):
                raise ValueError(f"expected an address host:port; Received: {address!r}")
        if len(set(addresses)) < len(addresses):
            raise ValueError(f"expected an address for each process; Received: one twice in {', '.join(addresses)}")
        if (self.parameter_servers or self.coordinator) and not all(
            (self.workers, self.parameter_servers, self.coordinator)
        ):
            raise ValueError(
                "expected parameter servers, workers and a coordinator, or workers alone; Received: "
                f"parameter_servers={self.parameter_servers}, workers={self.workers}, coordinator={self.coordinator}"
            )
        # Without addresses this process is the one worker.
        workers = len(self.workers) if addresses else 1
        tasks = {"worker": workers, "ps": len(self.parameter_servers), "chief": int(self.coordinator is not None)}
        count = tasks[self.task_type]
        if not 0 <= self.task_index < count:
            raise ValueError(
                f"expected the index of one of {count} tasks of type {self.task_type}; Received: {self.task_index}"
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and the trained model."""
        if self.parameter_servers:
            return self.task_type == "chief"
        return self.task_index == 0

    def tf_config(self) -> dict:
        """The cluster in the form of TF_CONFIG."""
        cluster = {"worker": list(self.workers)}
        if self.parameter_servers:
            cluster |= {"ps": list(self.parameter_servers), "chief": [self.coordinator]}
        return {"cluster": cluster, "task": {"type": self.task_type, "index": self.task_index}}


def find_cluster(arguments, environ) -> Cluster:
    """The cluster that the arguments name; else TF_CONFIG's; else that of the SLURM step; else this process alone.

    Args:
        arguments: with `workers`, `parameter_servers`, `coordinator`, `task_type`, `task_index` (None where they were
            not given) and `port`, the first port of each SLURM node.
        environ: the environment, a mapping.

    Raises:
        ValueError: what is there makes no cluster.
    """
    if arguments.workers:
        return Cluster(
            tuple(arguments.workers.split(",")),
            tuple((arguments.parameter_servers or "").split(",")) if arguments.parameter_servers else (),
            arguments.coordinator,
            arguments.task_type or "worker",
            0 if arguments.task_type == "chief" else _index(arguments.task_index, "--task-index"),
        )
    others = (arguments.parameter_servers, arguments.coordinator, arguments.task_type, arguments.task_index)
    if any(value is not None for value in others):
        raise ValueError("expected --workers with the other addresses of a cluster; Received: none")
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    if environ.get("SLURM_PROCID"):
        workers, index = slurm.find_tasks(environ, arguments.port)
        return Cluster(workers, task_index=index)
    return Cluster()


def _index(value, name) -> int:
    if value is None:
        raise ValueError(f"expected {name}, which of the processes this is; Received: none")
    return value


def _from_tf_config(text: str) -> Cluster:
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        known = {"worker", "ps", "chief", "evaluator"}
        if not isinstance(cluster, dict) or not isinstance(task, dict) or set(cluster) - known:
            raise TypeError(f"cluster={cluster!r}")
        if not all(isinstance(addresses, list) for addresses in cluster.values()):
            raise TypeError(f"cluster={cluster!r}")
        addresses = {kind: tuple(cluster.get(kind, ())) for kind in known}
        # Without a task each process of several would take itself for the first, as without a cluster.
        kind, index = (task["type"], task["index"]) if config else ("worker", 0)
        if bool(config) != bool(cluster) or isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"cluster={cluster!r}, task={task!r}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            'expected TF_CONFIG such as {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", '
            '"index": 0}}; '
            f"Received: {text:.200} ({error})"
        ) from error
    if addresses["ps"]:
        return Cluster(addresses["worker"], addresses["ps"], (addresses["chief"] or (None,))[0], kind, index)
    # Without parameter servers a chief is a worker among workers, the first.
    workers = addresses["chief"] + addresses["worker"]
    if kind == "worker" and addresses["chief"]:
        index += len(addresses["chief"])
    return Cluster(workers, task_type="worker" if kind == "chief" else kind, task_index=index)


def resolve(name: str, cluster: Cluster, gpus: int = 0) -> str:
    """What `"auto"` means: by the cluster, else by the number of local GPUs.

    Raises:
        ValueError: the strategy is unknown, or the cluster is not one for it.
    """
    if name not in STRATEGIES:
        raise ValueError(f"expected a strategy, one of {', '.join(STRATEGIES)}; Received: {name!r}")
    if name == "auto":
        if cluster.parameter_servers:
            return "parameter_server"
        if len(cluster.workers) > 1:
            return "multi_worker"
        return "mirrored" if gpus > 1 else "one"
    if (name == "parameter_server") != bool(cluster.parameter_servers):
        raise ValueError(
            "expected the strategy parameter_server and parameter servers in the cluster, or neither; "
            f"Received: {name}, {len(cluster.parameter_servers)} parameter servers"
        )
    if name == "multi_worker" and not cluster.workers:
        raise ValueError("expected workers in the cluster for the strategy multi_worker; Received: none")
    if name in ("one", "mirrored", "tpu") and len(cluster.workers) > 1:
        raise ValueError(f"expected one process for the strategy {name}; Received: {len(cluster.workers)} workers")
    return name


def make_strategy(name: str, cluster: Cluster, devices=None):
    """The `tf.distribute` strategy of a run. Several workers need it before the process runs any other operation.

    Args:
        name: `"auto"`; `"one"`, a single device; `"mirrored"`, all local devices; `"multi_worker"`, all devices of all
            workers in step; `"parameter_server"`, workers on their own, the paper's asynchronous SGD; `"tpu"`, the TPU
            of TensorFlow's own resolver, which is the same code and has never been run on one.
        cluster: the processes.
        devices: names of the local devices, such as `["GPU:0", "GPU:1"]`; None for all.

    Raises:
        ValueError: the strategy is unknown, the cluster is not one for it, or several workers come too late for it.
    """
    import tensorflow as tf

    name = resolve(name, cluster, len(tf.config.list_physical_devices("GPU")))
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(devices)
    if name == "multi_worker":
        os.environ["TF_CONFIG"] = json.dumps(cluster.tf_config())
        try:
            # Its default collectives: rings between CPUs, NCCL between GPUs.
            return tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.UnknownError as error:
            own = cluster.workers[cluster.task_index]
            raise ValueError(f"expected {own} to be free for this worker; Received: {error.message}") from error
        except RuntimeError as error:
            if "program startup" not in str(error):
                raise
            raise ValueError(
                "expected the strategy of several workers to be made before any TensorFlow operation; "
                "Received: a process that has run one"
            ) from error
    if name == "parameter_server":
        return tf.distribute.ParameterServerStrategy(_resolver(cluster))
    if name == "tpu":
        return tf.distribute.TPUStrategy(_tpu())
    return tf.distribute.get_strategy()


def is_loss(error, cluster: Cluster) -> bool:
    """Whether an error says that another process of the cluster is gone."""
    if not cluster.workers:
        return False
    import tensorflow as tf

    gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
    aborted = isinstance(error, tf.errors.OpError) and "Collective ops is aborted" in str(error)
    return isinstance(error, gone) or aborted


def _tpu():
    import tensorflow as tf

    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver.connect("")
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        found = str(error).strip().splitlines()
        raise ValueError(
            f"expected a TPU for the strategy tpu; Received: {found[0] if found else type(error).__name__}"
        ) from error


def _resolver(cluster: Cluster):
    import tensorflow as tf

    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.tf_config()["cluster"]),
        task_type=cluster.task_type,
        task_id=cluster.task_index,
        rpc_layer="grpc",
    )


def is_server(cluster: Cluster) -> bool:
    """Whether this process only serves a coordinator: a parameter server, or a worker of one."""
    return bool(cluster.parameter_servers) and cluster.task_type != "chief"


def serve(cluster: Cluster, seconds: float = 30.0, every: float = 2.0, patience: float = 1800.0) -> None:
    """Serves the coordinator of a parameter-server cluster, from before it comes until after it has gone.

    A server cannot be stopped and has no word of the run's end: `Server.join` never returns. So this watches the
    coordinator's port. The process should end after it; a cluster that goes on with a run is started anew, all of it.

    Args:
        cluster: the processes.
        seconds: how long the coordinator must be out of reach to be gone.
        every: seconds from one look to the next.
        patience: how long it may take the coordinator to come.

    Raises:
        ValueError: it has not come.
    """
    import tensorflow as tf

    server = tf.distribute.Server(
        tf.train.ClusterSpec(cluster.tf_config()["cluster"]),
        job_name=cluster.task_type,
        task_index=cluster.task_index,
        protocol="grpc",
        start=True,
    )
    last_seen, started = None, time.monotonic()
    while last_seen is None or time.monotonic() - last_seen < seconds:
        if _answers(cluster.coordinator):
            last_seen = time.monotonic()
        elif last_seen is None and time.monotonic() - started > patience:
            raise ValueError(f"expected the coordinator {cluster.coordinator} to come; Received: nobody there")
        time.sleep(every)
    del server  # it served until here


def _answers(address: str, timeout: float = 5.0) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError:
        return False
    return True

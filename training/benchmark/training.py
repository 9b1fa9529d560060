"""A training step against torchvision's on torch, two workers against one, and memory over a run."""

import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import unittest.mock

from training.benchmark import alternate, import_torchvision


def training(threads, rounds, seconds, batch=32) -> dict:
    """Images per second of a training step on the same network, ours and theirs, and what two workers make of it."""
    return {
        f"step, batch {batch} at 224, images/s": _steps(threads, rounds, seconds, batch),
        "weak scaling, one core and 16 images of 32 x 32 a worker": _weak_scaling(),
    }


def _steps(threads, rounds, seconds, batch) -> dict:
    import numpy as np
    import tensorflow as tf
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch.set_num_threads(threads)
    pixels = np.random.default_rng(0).uniform(0, 255, (batch, 224, 224, 3)).astype("float32")
    labels = np.random.default_rng(1).integers(0, 1000, batch)

    contestants = {
        "keras_inception torchvision": _our_step(
            pixels, labels, 1000, variant="torchvision", aux_heads=False, average=None
        ),
        "keras_inception paper, with heads and averaging": _our_step(pixels, labels, 1000),
    }
    model = import_torchvision().models.googlenet(weights=None, num_classes=1000, aux_logits=False, init_weights=False)
    model = model.train().to(memory_format=torch.channels_last)
    planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9, weight_decay=2e-4)

    def their_step(network):
        def call():
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network((planes - 127.5) / 127.5), targets)
            loss.backward()
            optimizer.step()
            return loss.item()

        return call

    contestants |= {"torchvision eager": their_step(model), "torchvision compiled": their_step(torch.compile(model))}
    rates = {name: rate * batch for name, rate in alternate(contestants, rounds, seconds).items()}
    best = max(rates["torchvision eager"], rates["torchvision compiled"])
    ours = rates["keras_inception torchvision"]
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    return {**rounded, "same network, ours / the faster of theirs": round(ours / best, 2)}


def batch_norm(threads, rounds, seconds, batch=64, size=32) -> dict:
    """Images per second of a training step with batch normalization in one operation, and in Keras' own."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_inception.layers import FusedBatchNormalization

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    pixels = np.random.default_rng(0).uniform(0, 255, (batch, size, size, 3)).astype("float32")
    labels = np.random.default_rng(1).integers(0, 10, batch)
    fields = {"variant": "batch_norm", "stem": "small", "sizes": (size,), "aux_heads": False, "average": None}
    results = {}
    for precision in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(precision)
        contestants = {"fused": _our_step(pixels, labels, 10, precision=precision, **fields)}
        contestants["fused"]()  # is traced now, and keeps its operations
        with unittest.mock.patch.object(FusedBatchNormalization, "call", keras.layers.BatchNormalization.call):
            contestants["Keras"] = _our_step(pixels, labels, 10, precision=precision, **fields)
            contestants["Keras"]()
        rates = {name: rate * batch for name, rate in alternate(contestants, rounds, seconds).items()}
        results[f"{precision}, step of {batch} at {size}, images/s"] = {
            **{name: round(rate, 1) for name, rate in rates.items()},
            "fused / Keras": round(rates["fused"] / rates["Keras"], 2),
        }
    return results


def _our_step(pixels, labels, classes, **fields):
    """A step of our engine on one batch, as a training takes it."""
    import numpy as np
    import tensorflow as tf

    from training.recipe import Recipe
    from training.tensorflow_engine import TensorFlowEngine

    recipe = Recipe(batch_size=len(pixels), learning_rate=0.001, **fields)
    engine = TensorFlowEngine(recipe, [str(index) for index in range(classes)])
    batch = (tf.constant(pixels), tf.constant(labels), tf.constant(np.ones(len(pixels), "float32")))
    return lambda: engine.fetch(engine.train_step(batch, 0.001))


def _weak_scaling(per_worker=16) -> dict:
    """Images per second of one worker on one core, and of two on two cores with twice the batch."""
    with tempfile.TemporaryDirectory() as folder:
        one = _run(pathlib.Path(folder) / "one", 1, per_worker)
        two = _run(pathlib.Path(folder) / "two", 2, per_worker)
    return {
        "one worker, images/s": one["images/s"],
        "two workers, images/s": two["images/s"],
        "two / twice one": round(two["images/s"] / (2 * one["images/s"]), 2),
        "memory of the one after each eighth of its steps, MiB": one["memory"],
    }


def _run(work_dir, workers, per_worker) -> dict:
    """Trains the smoke recipe, each worker on a core of its own; the median speed, and the memory of the first."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in (first, second)][:workers]
    command = [sys.executable, "-m", "training.train", "training/configs/smoke.py", "--work-dir", str(work_dir)]
    settings = (
        "sizes=32",
        f"batch_size={per_worker * workers}",
        "epochs=16",
        "evaluate_every=16",
        "checkpoint_every=100",
    )
    command += [word for setting in settings for word in ("--set", setting)]
    cores = sorted(os.sched_getaffinity(0))
    processes = []
    for index in range(workers):
        cluster = ["--workers", ",".join(addresses), "--task-index", str(index)] if workers > 1 else []
        own = [cores[index % len(cores)]]
        processes.append(
            subprocess.Popen(
                [*command, *cluster],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda own=own: os.sched_setaffinity(0, own),
            )
        )
    memory = {}  # by the number of steps that are done
    while processes[0].poll() is None:
        memory[len(_rates(work_dir))] = _resident(processes[0].pid)
        time.sleep(0.5)
    if any(process.wait() for process in processes):
        raise RuntimeError(f"expected {workers} workers to train; Received: {[p.returncode for p in processes]}")
    rates = _rates(work_dir)
    steps = len(rates)
    return {
        "images/s": round(statistics.median(rates[steps // 4 :]), 1),
        # Not what was seen after the last step, for then come the evaluation and the finished model.
        "memory": [memory[max(step for step in memory if step < steps * part // 8)] for part in range(1, 9)],
    }


def _rates(work_dir) -> list[float]:
    """Images per second of each step that is done."""
    try:
        lines = (work_dir / "metrics.jsonl").read_text().split("\n")[:-1]
    except OSError:
        return []
    return [line["images_per_second"] for line in map(json.loads, lines) if "loss" in line]


def _resident(pid) -> int:
    """Resident memory of a process, MiB."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0]) // 1024 if found else 0

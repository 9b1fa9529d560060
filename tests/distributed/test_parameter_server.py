"""The paper's asynchronous SGD: a coordinator, a parameter server and two workers, one of which is killed."""

import numpy as np
from launch import checkpoint, free_ports, photos, recipe_file, start

import keras_inception


class Cluster:
    """The processes of a cluster on the loopback, with the same addresses whenever they are started."""

    def __init__(self, config, data, work_dir, *arguments):
        self.config, self.data, self.work_dir, self.arguments = config, data, work_dir, arguments
        *workers, server, coordinator = free_ports(4)
        servers = ("--parameter-servers", server, "--coordinator", coordinator)
        self.addresses = ("--workers", ",".join(workers), *servers)

    def start(self, kind, index=0):
        task = ("--task-type", kind, "--task-index", index)
        name = f"{kind}{index}"
        return start(self.config, self.data, self.work_dir, *self.addresses, *task, *self.arguments, name=name)


def test_training_goes_on_without_a_lost_worker(tmp_path):
    """And stands still without any, until they come back: TensorFlow takes lost workers up again all together."""
    data = photos(tmp_path / "photos")
    config = recipe_file(
        tmp_path / "recipe.py", aux_heads=True, epochs=6, checkpoint_every=5, schedule="polynomial", deterministic=False
    )
    cluster = Cluster(config, data, tmp_path / "run", "--predict", tmp_path / "predicted.npz")
    served = [cluster.start("ps"), cluster.start("worker", 0), cluster.start("worker", 1)]
    chief = cluster.start("chief")
    chief.wait_for(6)
    served[2].kill()
    killed_at = len(chief.steps())
    chief.wait_for(killed_at + 4)
    served[1].kill()
    assert len(chief.steps()) < 20
    served[1:] = [cluster.start("worker", 0), cluster.start("worker", 1)]
    chief.finish()
    steps = chief.steps()
    assert [line["step"] for line in steps] == list(range(1, 25)), "every step, each once"
    # The schedule is that of the steps, whatever became of the optimizer's own counter.
    rates = [line["learning_rate"] for line in steps]
    np.testing.assert_allclose(rates, [1e-3 * (1 - step / 24) ** 0.5 for step in range(24)], rtol=1e-6)
    assert [line["epoch"] for line in chief.lines() if "val_loss" in line] == list(range(1, 7))
    assert np.mean(chief.losses()[-4:]) < np.mean(chief.losses()[:4])
    assert checkpoint(chief)[0] == 24
    assert keras_inception.GoogLeNet(weights=chief.work_dir / "model").output_shape == (None, 4)
    probabilities = np.load(tmp_path / "predicted.npz")["probabilities"]
    correct = probabilities.argmax(1) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert correct.mean() == [line for line in chief.lines() if "val_loss" in line][-1]["val_accuracy"]
    # The others served to the end, and end by themselves.
    assert [run.wait(120) for run in served] == [0, 0, 0]


def test_a_killed_coordinator_resumes_with_a_new_cluster(tmp_path):
    data = photos(tmp_path / "photos")
    config = recipe_file(tmp_path / "recipe.py", aux_heads=False, epochs=3, checkpoint_every=3, deterministic=False)
    cluster = Cluster(config, data, tmp_path / "run")
    served = [cluster.start("ps"), cluster.start("worker", 0), cluster.start("worker", 1)]
    chief = cluster.start("chief")
    chief.wait_for(5)
    chief.kill()
    for run in served:
        run.kill()
    at = checkpoint(chief)[0]
    assert 3 <= at < 12
    served = [cluster.start("ps"), cluster.start("worker", 0), cluster.start("worker", 1)]
    again = cluster.start("chief").finish()
    for run in served:
        run.process.kill()
        run.wait()
    assert [line["step"] for line in again.lines() if line.get("resumed")] == [at]
    assert [line["step"] for line in again.steps()] == list(range(1, 13)), "every step once"
    assert checkpoint(again)[0] == 12


def test_a_lost_parameter_server_is_a_lost_cluster(tmp_path):
    data = photos(tmp_path / "photos")
    config = recipe_file(tmp_path / "recipe.py", aux_heads=False, epochs=50, checkpoint_every=3, deterministic=False)
    cluster = Cluster(config, data, tmp_path / "run")
    served = [cluster.start("ps"), cluster.start("worker", 0), cluster.start("worker", 1)]
    chief = cluster.start("chief")
    chief.wait_for(5)
    served[0].kill()
    assert chief.wait(120) == 75
    for run in served[1:]:
        run.process.kill()
        run.wait()
    assert checkpoint(chief)[0] >= 3

"""The paper's asynchronous SGD: a coordinator, a parameter server and two workers, one of which is killed."""

import numpy as np
from launch import checkpoint, free_ports, photos, recipe_file, start

import keras_inception


def test_training_goes_on_without_a_lost_worker(tmp_path):
    data = photos(tmp_path / "photos")
    config = recipe_file(
        tmp_path / "recipe.py", aux_heads=True, epochs=6, checkpoint_every=5, schedule="polynomial", deterministic=False
    )
    first, second, server, coordinator = free_ports(4)
    cluster = ("--workers", f"{first},{second}", "--parameter-servers", server, "--coordinator", coordinator)

    def process(kind, index):
        name = f"{kind}{index}"
        task = ("--task-type", kind, "--task-index", index, "--predict", tmp_path / "predicted.npz")
        return start(config, data, tmp_path / "run", *cluster, *task, name=name)

    served = [process("ps", 0), process("worker", 0), process("worker", 1)]
    chief = process("chief", 0)
    chief.wait_for(8)
    served[2].kill()
    killed_at = len(chief.steps())
    chief.finish()
    steps = chief.steps()
    assert killed_at < 20 and [line["step"] for line in steps] == list(range(1, 25)), "every step, each once"
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
    assert [run.wait(120) for run in served[:2]] == [0, 0]

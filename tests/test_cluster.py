"""Which processes a run has: arguments, TF_CONFIG and SLURM against clusters written out by hand, and strategies."""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

from training.distribution import Cluster, find_cluster, is_server, make_strategy, resolve
from training.slurm import expand_nodes

ROOT = pathlib.Path(__file__).parent.parent
SERVED = Cluster(("w0:1", "w1:1"), ("p0:1",), "c:1", "chief")


def find(environ=None, **given):
    names = ("workers", "parameter_servers", "coordinator", "task_type", "task_index")
    arguments = argparse.Namespace(**{**dict.fromkeys(names), "port": 12345, **given})
    return find_cluster(arguments, environ or {})


def tf_config(cluster, **task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def slurm(nodes="n[9-10]", counts="1(x2)", tasks=2, rank=0, **more):
    return {
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": counts,
        "SLURM_STEP_NUM_TASKS": str(tasks),
        "SLURM_PROCID": str(rank),
        **more,
    }


def test_without_anything_the_process_is_alone_and_the_chief():
    assert find() == Cluster() and find().is_chief and not is_server(find())
    assert find({"TF_CONFIG": ""}) == find({"TF_CONFIG": "{}"}) == Cluster()


def test_arguments_come_first():
    environ = {**tf_config({"worker": ["x:1", "y:1"]}, type="worker", index=1), **slurm()}
    cluster = find(environ, workers="a:1,b:2", task_index=1)
    assert cluster == Cluster(("a:1", "b:2"), task_index=1) and not cluster.is_chief
    assert find(environ) == Cluster(("x:1", "y:1"), task_index=1)
    assert find({**environ, "TF_CONFIG": ""}) == Cluster(("n9:12345", "n10:12345"))


def test_arguments_of_a_parameter_server_cluster():
    addresses = {"workers": "w0:1,w1:1", "parameter_servers": "p0:1", "coordinator": "c:1"}
    chief = find(**addresses, task_type="chief")
    assert chief == SERVED and chief.is_chief and not is_server(chief)
    worker = find(**addresses, task_type="worker", task_index=0)
    assert not worker.is_chief and is_server(worker)
    assert is_server(find(**addresses, task_type="ps", task_index=0))
    assert chief.tf_config() == {
        "cluster": {"worker": ["w0:1", "w1:1"], "ps": ["p0:1"], "chief": ["c:1"]},
        "task": {"type": "chief", "index": 0},
    }


def test_tf_config_is_read_as_it_is_written():
    for cluster in (SERVED, Cluster(("a:1", "b:1"), task_index=1), Cluster(("[fe80::1]:1",))):
        assert find({"TF_CONFIG": json.dumps(cluster.tf_config())}) == cluster


def test_without_parameter_servers_the_chief_is_the_first_worker():
    addresses = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    assert find(tf_config(addresses, type="chief", index=0)) == Cluster(("c:1", "a:1", "b:1"))
    assert find(tf_config(addresses, type="worker", index=1)) == Cluster(("c:1", "a:1", "b:1"), task_index=2)


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "7",
        '{"task": {"type": "worker", "index": 0}}',
        json.dumps({"cluster": WORKERS}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker"}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": True}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "evaluator", "index": 0}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "cook", "index": 0}}),
        json.dumps({"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"cook": ["a:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": {"ps": ["b:1"], "chief": ["c:1"]}, "task": {"type": "ps", "index": 0}}),
    ],
)
def test_a_malformed_tf_config_is_told_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"^expected [^\n]*; Received: [^\n]*$"):
        find({"TF_CONFIG": text})


@pytest.mark.parametrize(
    "given, said",
    [
        ({"workers": "a:1,b:1"}, "--task-index"),
        ({"task_index": 0}, "--workers"),
        ({"coordinator": "c:1"}, "--workers"),
        ({"workers": "a:1,,b:1", "task_index": 0}, "host:port"),
        ({"workers": "a:1,b", "task_index": 0}, "host:port"),
        ({"workers": "a:1", "task_index": 1}, "one of 1 tasks"),
        ({"workers": "a:1", "task_type": "chief"}, "one of 0 tasks"),
        ({"workers": "a:1", "task_index": 0, "coordinator": "c:1"}, "parameter servers, workers and a coordinator"),
    ],
)
def test_arguments_that_make_no_cluster(given, said):
    with pytest.raises(ValueError, match=said):
        find(**given)


@pytest.mark.parametrize(
    "text, nodes",
    [
        ("login2", "login2"),
        ("gpu[001-003,7],login2", "gpu001 gpu002 gpu003 gpu7 login2"),
        ("n[9-11]", "n9 n10 n11"),
        ("n[08-10]", "n08 n09 n10"),
        ("a-b[1-2]-ib", "a-b1-ib a-b2-ib"),
        ("rack[1-2]node[01-02]", "rack1node01 rack1node02 rack2node01 rack2node02"),
        ("b,a[2]", "b a2"),
    ],
)
def test_slurm_node_lists(text, nodes):
    assert expand_nodes(text) == nodes.split()


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "a,,b", "n[1-", "n1-2]", "n[2-1]", "n[x]", "n[]", "n[1-2-3]", "n[[1]]"]
)
def test_what_is_no_node_list(text):
    with pytest.raises(ValueError, match="expected a SLURM node list"):
        expand_nodes(text)


def test_slurm_tasks_of_one_node_have_ports_of_their_own():
    # 2(x2),1: two tasks on the first two nodes, one on the third, numbered node by node
    nodes = "gpu[1-2],big"
    workers = ("gpu1:12345", "gpu1:12346", "gpu2:12345", "gpu2:12346", "big:12345")
    for rank in range(5):
        assert find(slurm(nodes, "2(x2),1", 5, rank)) == Cluster(workers, task_index=rank)
    assert find(slurm(rank=1), port=7).workers == ("n9:7", "n10:7")


def test_slurm_without_the_variables_of_a_step():
    job = {
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_TASKS_PER_NODE": "1(x2)",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "1",
    }
    assert find(job) == Cluster(("n1:12345", "n2:12345"), task_index=1)


def test_one_slurm_task_is_alone():
    assert find(slurm("n1", "1", 1)) == Cluster()


@pytest.mark.parametrize(
    "environ, said",
    [
        (slurm(counts="1(x3)"), "place its 2 tasks"),
        (slurm(counts="2(x2)"), "place its 2 tasks"),
        (slurm(nodes="n9"), "place its 2 tasks"),
        (slurm(counts="two"), "tasks per node"),
        (slurm(tasks="many"), "SLURM_NTASKS to be a number"),
        (slurm(rank="first"), "SLURM_PROCID to be a number"),
        (slurm(rank=2), "below the 2 tasks"),
        (slurm(nodes=""), "SLURM_STEP_NODELIST or SLURM_JOB_NODELIST"),
        (slurm(rank=0, SLURMD_NODENAME="n10"), "--distribution=block"),
    ],
)
def test_slurm_variables_that_contradict_each_other(environ, said):
    with pytest.raises(ValueError, match=rf"^expected [^\n]*{said}[^\n]*; Received: "):
        find(environ)


def test_slurm_on_the_node_that_it_names():
    assert find(slurm(rank=1, SLURMD_NODENAME="n10")).task_index == 1


def test_auto_goes_by_the_cluster_then_by_the_gpus():
    two = Cluster(("a:1", "b:1"))
    assert resolve("auto", SERVED, gpus=8) == "parameter_server"
    assert resolve("auto", two, gpus=8) == resolve("multi_worker", two) == "multi_worker"
    assert resolve("auto", Cluster(("a:1",)), gpus=2) == "mirrored"
    assert resolve("auto", Cluster(), gpus=1) == resolve("one", Cluster(), gpus=2) == "one"


@pytest.mark.parametrize(
    "name, cluster",
    [
        ("fast", Cluster()),
        ("multi_worker", Cluster()),
        ("multi_worker", SERVED),
        ("one", SERVED),
        ("parameter_server", Cluster(("a:1", "b:1"))),
        ("one", Cluster(("a:1", "b:1"))),
        ("mirrored", Cluster(("a:1", "b:1"))),
        ("tpu", Cluster(("a:1", "b:1"))),
    ],
)
def test_a_strategy_that_is_not_for_the_cluster(name, cluster):
    with pytest.raises(ValueError, match=r"^expected .*; Received: "):
        resolve(name, cluster)


def python(program, *arguments, **environ):
    """A program in a process of its own: devices are made before TensorFlow has looked at any."""
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environ}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


STRATEGIES = """
import json, os
import tensorflow as tf
from training.distribution import Cluster, make_strategy

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
said = {}
for name in ("one", "auto"):
    said[name] = [type(make_strategy(name, Cluster())).__name__, make_strategy(name, Cluster()).num_replicas_in_sync]
mirrored = make_strategy("mirrored", Cluster(), ["CPU:0", "CPU:1"])
total = mirrored.reduce("SUM", mirrored.run(lambda: tf.constant(3.0)), axis=None)
said["mirrored"] = [type(mirrored).__name__, float(total)]
try:
    make_strategy("multi_worker", Cluster(("127.0.0.1:1", "127.0.0.1:2")))
except ValueError as error:
    said["late"] = str(error)
said["TF_CONFIG"] = json.loads(os.environ["TF_CONFIG"])
print(json.dumps(said))
"""


def test_strategies_on_two_logical_cpus():
    process = python(STRATEGIES)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]
    said = json.loads(output.splitlines()[-1])
    assert said["one"] == said["auto"] == ["_DefaultDistributionStrategy", 1]
    assert said["mirrored"] == ["MirroredStrategy", 6.0]
    assert said["late"].startswith(
        "expected the strategy of several workers to be made before any TensorFlow operation"
    )
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    assert said["TF_CONFIG"] == {"cluster": cluster, "task": {"type": "worker", "index": 0}}


SERVER = """
import json, sys
from training.distribution import Cluster, serve

try:
    serve(Cluster(**json.loads(sys.argv[1])), seconds=1.0, every=0.1, patience=float(sys.argv[2]))
    print("served")
except ValueError as error:
    print(error)
"""


def addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return [f"127.0.0.1:{port}" for port in ports]


def test_a_server_waits_for_its_coordinator_and_ends_after_it():
    worker, server, coordinator = addresses(3)
    cluster = {"workers": [worker], "parameter_servers": [server], "coordinator": coordinator, "task_type": "ps"}
    process = python(SERVER, json.dumps(cluster), "60")
    try:
        host, port = server.split(":")
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.1)
        time.sleep(2.0)
        assert process.poll() is None  # no coordinator yet: it waits, longer than it would after one has gone
        with socket.create_server(("127.0.0.1", int(coordinator.split(":")[1]))):
            time.sleep(2.0)
            assert process.poll() is None
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output.strip()) == (0, "served"), errors[-3000:]
    finally:
        process.kill()
        process.wait()


def test_a_server_does_not_wait_for_ever():
    worker, server, coordinator = addresses(3)
    cluster = {"workers": [worker], "parameter_servers": [server], "coordinator": coordinator, "task_type": "ps"}
    output, errors = python(SERVER, json.dumps(cluster), "0.5").communicate(timeout=60)
    assert output.strip() == f"expected the coordinator {coordinator} to come; Received: nobody there", errors


def test_without_a_tpu():
    with pytest.raises(ValueError, match="expected a TPU for the strategy tpu; Received: "):
        make_strategy("tpu", Cluster())


def test_the_slurm_script():
    script = ROOT / "training" / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    options = [line.split()[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "--requeue" in options and any(option.startswith("--signal=") for option in options)


def stand_ins(folder, status):
    """Stand-ins for srun and scontrol, which write down what they were given."""
    for name, code in (("srun", status), ("scontrol", 0)):
        (folder / name).write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {folder}/{name}.calls\nexit {code}\n")
        (folder / name).chmod(0o755)


def submit(folder, **environ):
    status = environ.pop("status")
    if status is not None:
        stand_ins(folder, status)
    environ = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "30007",
        "DATA_DIR": "/data",
        "WORK_DIR": str(folder / "run"),
        **environ,
    }
    command = ["bash", ROOT / "training" / "slurm.sh", "training/configs/smoke.py", "--set", "epochs=1"]
    return subprocess.run(command, env=environ, cwd=ROOT, timeout=60, capture_output=True, text=True)


@pytest.mark.parametrize("status, requeued", [(0, False), (1, False), (2, False), (75, True), (137, True)])
def test_the_slurm_script_requeues_a_lost_cluster(tmp_path, status, requeued):
    done = submit(tmp_path, status=status)
    assert done.returncode == (0 if requeued else status), done.stderr
    (call,) = (tmp_path / "srun.calls").read_text().splitlines()
    arguments = call.split("-m training.train ")[1].split()
    rest = ["--data-dir", "/data", "--work-dir", str(tmp_path / "run"), "--set", "epochs=1"]
    assert arguments == ["training/configs/smoke.py", "--port", "15007", *rest]
    assert "--distribution=block" in call and "--kill-on-bad-exit=1" in call
    assert (tmp_path / "scontrol.calls").exists() == requeued
    if requeued:
        assert (tmp_path / "scontrol.calls").read_text() == "requeue 30007\n"


@pytest.mark.parametrize("code, returned", [(1, 1), (2, 1), (75, 0)])
def test_the_slurm_script_does_not_requeue_a_mistake(tmp_path, code, returned):
    """A task that ends with 1 makes srun kill the others, and then tell of their signal."""
    (tmp_path / "python").write_text(f"#!/bin/bash\nexit {code}\n")
    (tmp_path / "python").chmod(0o755)
    stand_ins(tmp_path, 0)
    (tmp_path / "srun").write_text(
        '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nSLURM_PROCID=3 "$@"\nexit 143\n'
    )
    done = submit(tmp_path, status=None, PYTHON=str(tmp_path / "python"))
    assert done.returncode == returned, done.stderr
    assert (tmp_path / "scontrol.calls").exists() == (code == 75)
    failed = tmp_path / "run" / "failed-30007"
    assert failed.read_text() == f"task 3: {code}\n" if code != 75 else not failed.exists()
    if code != 75:  # the next submission of the same number begins without it
        assert submit(tmp_path, status=0).returncode == 0


def test_the_slurm_script_gives_up_after_ten_restarts(tmp_path):
    """Without a new checkpoint, that is; how often the time limit has interrupted the run does not count."""
    codes = [submit(tmp_path, status=75, SLURM_RESTART_COUNT="99").returncode for _ in range(11)]
    assert codes == [0] * 10 + [75]
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "step-00000020.checkpoint").touch()
    assert submit(tmp_path, status=75).returncode == 0


def test_the_slurm_script_requeues_before_its_time_is_up(tmp_path):
    stand_ins(tmp_path, 0)
    (tmp_path / "srun").write_text(f"#!/bin/bash\ntouch {tmp_path}/begun\nexec sleep 5\n")
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    process = subprocess.Popen(
        ["bash", ROOT / "training" / "slurm.sh", "recipe.py"],
        env={**environ, "DATA_DIR": "/d", "WORK_DIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = time.monotonic()
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == 0 and time.monotonic() - started < 4  # it did not wait for srun
    assert (tmp_path / "scontrol.calls").read_text() == "requeue 7\n"


def test_the_slurm_script_says_what_is_missing(tmp_path):
    done = submit(tmp_path, status=0, DATA_DIR="")
    assert done.returncode != 0 and "expected DATA_DIR" in done.stderr
    assert not (tmp_path / "srun.calls").exists()


def manifests():
    return list(yaml.safe_load_all((ROOT / "training" / "kubernetes.yaml").read_text()))


@pytest.mark.parametrize("name", ["googlenet", "googlenet-ps"])
def test_the_kubernetes_manifest_makes_a_cluster(tmp_path, name):
    (job,) = (each["spec"] for each in manifests() if (each["kind"], each["metadata"]["name"]) == ("Job", name))
    (service,) = (each for each in manifests() if (each["kind"], each["metadata"]["name"]) == ("Service", name))
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert job["completionMode"] == "Indexed" and job["completions"] == job["parallelism"]
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["selector"] == {"job-name": name}
    final = [rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert final == [[1, 2]] and pod["restartPolicy"] == "Never"  # the API asks for Never with such a policy

    (tmp_path / "python").write_text('#!/bin/bash\nprintf "%s\\n" "$TF_CONFIG" "$*"\n')
    (tmp_path / "python").chmod(0o755)
    environ = {each["name"]: each["value"] for each in container["env"]}
    environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    found = []
    for index in range(job["completions"]):
        environ["JOB_COMPLETION_INDEX"] = str(index)
        done = subprocess.run(container["command"] + container["args"], env=environ, capture_output=True, text=True)
        config, command = done.stdout.splitlines()
        assert command.startswith("-m training.train training/configs/paper_imagenet.py "), done.stderr
        found.append(find({"TF_CONFIG": config}))
        assert done.returncode == (75 if is_server(found[-1]) else 0)
    # One cluster, in which each pod has a place of its own, and the address that the service gives it.
    assert len({(each.workers, each.parameter_servers, each.coordinator) for each in found}) == 1
    for index, cluster in enumerate(found):
        config = cluster.tf_config()
        address = config["cluster"][cluster.task_type][cluster.task_index]
        assert address == f"{name}-{index}.{pod['subdomain']}:12345"
    assert pod["subdomain"] == name
    assert [each.is_chief for each in found] == [True] + [False] * (job["completions"] - 1)
    assert resolve("auto", found[0]) == {"googlenet": "multi_worker", "googlenet-ps": "parameter_server"}[name]

"""Loading from a hub on this machine, through the real client: one commit, every file checked, nothing silent."""

import json
import logging
import os
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from hub_server import Hub
from huggingface_hub.utils import close_session

from keras_inception.convert.checkpoint import Checkpoint, CheckpointError
from keras_inception.hub import folder as folders
from keras_inception.hub import stores
from keras_inception.hub.download import ChecksumError, DownloadError

NAME = "me/net"


def files(tmp_path, value=1.0, size=30_000, **options) -> dict[str, bytes]:
    """A published folder of `size` numbers, as bytes by name."""
    place = tmp_path / f"folder{value}"
    folders.write(place, Checkpoint({"variant": "paper"}, {"a/kernel": np.full(size, value, "float32")}), **options)
    return {path.name: path.read_bytes() for path in place.iterdir()}


def value_of(fetched):
    return fetched.content.checkpoint().tensors["a/kernel"][0]


def fetch(hub, reference=f"hf://{NAME}", token="hf_me"):
    return stores.fetch(reference, token=token, endpoint=hub.url)


def requests(hub):
    taken = list(hub.log)
    hub.log.clear()
    return [(entry.method, entry.path) for entry in taken]


@pytest.mark.parametrize(
    "reference, expected",
    [
        ("hf://me/net", ("me/net", None)),
        ("hf://me/net@v1", ("me/net", "v1")),
        ("hf://me/net@refs/pr/1", ("me/net", "refs/pr/1")),
        ("hf://me/net@v1.0+x", ("me/net", "v1.0+x")),
        (f"hf://me/net@{'0' * 40}", ("me/net", "0" * 40)),
    ],
)
def test_parse(reference, expected):
    assert stores.parse(reference) == expected


@pytest.mark.parametrize(
    "reference",
    [
        "hf://net",
        "hf://me/net/model.safetensors",
        "hf://me/net@",
        "me/net",
        "hf://me/ net",
        "hf://me/net@a..b",
        "hf://../..",
        "hf://mé/net",
        "hf://me/net.git",
        "hf://me/a--b",
    ],
)
def test_malformed_references(reference):
    with pytest.raises(ValueError, match="expected hf://owner/name or hf://owner/name@revision; Received"):
        stores.parse(reference)


def test_every_file_is_of_one_commit_also_when_the_branch_moves(hub, tmp_path):
    repository = hub.create(NAME, files(tmp_path, 1.0))
    first = repository.resolve("main")
    moved = hub.order(
        "first", "GET", f"/{NAME}/resolve/.*/keras_inception.json", call=lambda h: repository.push(files(tmp_path, 2.0))
    )
    fetched = fetch(hub)
    assert moved.times == 0 and repository.resolve("main") != first
    assert (fetched.commit, value_of(fetched)) == (first, 1.0)
    paths = [path for _, path in requests(hub) if "/resolve/" in path]
    assert paths and all(f"/resolve/{first}/" in path for path in paths)
    assert value_of(fetch(hub)) == 2.0 and value_of(fetch(hub, f"hf://{NAME}@{first}")) == 1.0


def test_a_commit_that_is_cached_takes_no_request(hub, hub_client, tmp_path, monkeypatch):
    hub.create(NAME, files(tmp_path))
    commit = fetch(hub).commit
    requests(hub)
    assert value_of(fetch(hub, f"hf://{NAME}@{commit}", token=False)) == 1.0
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    assert value_of(fetch(hub, f"hf://{NAME}@{commit}")) == 1.0
    assert not requests(hub)


def test_a_hub_that_answers_with_another_commit_is_not_believed(hub, tmp_path):
    repository = hub.create(NAME, files(tmp_path))
    first, second = repository.resolve("main"), repository.push(files(tmp_path, 2.0))
    known, repository.resolve = repository.resolve, lambda name: second if name == first else known(name)
    with pytest.raises(ChecksumError, match=f"expected that commit; Received: {second}"):
        fetch(hub, f"hf://{NAME}@{first}")


@pytest.fixture
def no_links(monkeypatch):
    """A file system without links, as on many a Windows."""
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda folder=None: False)


def test_without_links_the_json_is_checked_and_what_is_damaged_is_fetched_anew(hub, hub_client, tmp_path, no_links):
    hub.create(NAME, files(tmp_path, metrics={"top1": 50.0}))
    fetched = fetch(hub)
    config, pinned = fetched.folder / folders.CONFIG, f"hf://{NAME}@{fetched.commit}"
    assert not config.is_symlink()
    requests(hub)
    assert value_of(fetch(hub, pinned)) == 1.0 and not requests(hub)
    for name in (folders.CONFIG, folders.WEIGHTS):
        path = fetched.folder / name
        right = path.read_bytes()
        path.write_bytes(right.replace(b"50.0", b"99.9") if name == folders.CONFIG else right[:-1] + b"x")
        assert path.read_bytes() != right
        assert fetch(hub, pinned).content.published.metrics == {"top1": 50.0} and path.read_bytes() == right


def test_without_links_and_without_a_note_it_is_said_that_nothing_was_checked(
    hub, hub_client, tmp_path, no_links, caplog, monkeypatch
):
    from huggingface_hub import snapshot_download

    hub.create(NAME, files(tmp_path))
    snapshot_download(NAME, endpoint=hub.url, token="hf_me")
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    assert value_of(fetch(hub)) == 1.0
    assert "nothing on this machine says whether" in caplog.text


def test_what_the_clients_own_tools_have_cached_is_there_offline(hub, hub_client, tmp_path, monkeypatch, caplog):
    from huggingface_hub import snapshot_download

    commit = hub.create(NAME, files(tmp_path)).resolve("main")
    snapshot_download(NAME, endpoint=hub.url, token="hf_me")
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    assert value_of(fetch(hub)) == 1.0
    assert f"commit {commit} of the cache, which it was when another program asked its hub, " in caplog.text


def test_a_branch_offline_says_its_commit_and_its_age(hub, hub_client, tmp_path, monkeypatch, caplog):
    hub.create(NAME, files(tmp_path))
    commit = fetch(hub).commit
    (note,) = (tmp_path / "cache").rglob("main")
    os.utime(note, (0, time.time() - 3 * 86400))
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    requests(hub)
    with caplog.at_level(logging.WARNING):
        assert value_of(fetch(hub)) == 1.0
    assert not requests(hub)
    assert f"HF_HUB_OFFLINE is set, so that the Hub was not asked; this is commit {commit} of the cache" in caplog.text
    assert "3 days ago" in caplog.text
    with pytest.raises(DownloadError, match="hf://me/other: HF_HUB_OFFLINE is set.*not in the cache"):
        fetch(hub, "hf://me/other")


@pytest.mark.parametrize("status, said", [(503, "HTTP status 503"), (500, "HTTP status 500")])
def test_a_hub_that_is_ill_is_said(hub, tmp_path, caplog, status, said):
    hub.create(NAME, files(tmp_path))
    commit = fetch(hub).commit
    hub.order("status", "GET", f"/api/models/{NAME}", status=status)
    assert fetch(hub).commit == commit
    assert said in caplog.text and commit in caplog.text and hub.fired() == ["status"]


def test_a_wrong_token_is_said(hub, tmp_path, caplog):
    hub.create(NAME, files(tmp_path))
    with pytest.raises(DownloadError, match="the Hub did not accept the token, and it is not in the cache"):
        fetch(hub, token="hf_wrong")
    commit = fetch(hub).commit
    assert fetch(hub, token="hf_wrong").commit == commit
    assert f"the Hub did not accept the token; this is commit {commit} of the cache" in caplog.text


def test_a_server_that_is_down(hub, tmp_path, caplog):
    hub.create(NAME, files(tmp_path))
    commit = fetch(hub).commit
    hub.server.shutdown()
    hub.server.server_close()
    close_session()  # the connections that it has kept
    assert fetch(hub).commit == commit
    assert "the Hub did not answer" in caplog.text and commit in caplog.text
    with pytest.raises(DownloadError, match="the Hub did not answer"):
        fetch(hub, "hf://me/other")


def test_private_and_gated_repositories(hub, tmp_path):
    repository = hub.create(NAME, files(tmp_path), private=True)
    for token in ("hf_you", False):
        with pytest.raises(ValueError, match="expected a repository that exists and may be read with this token"):
            fetch(hub, token=token)
    assert value_of(fetch(hub, token="hf_reader")) == 1.0
    repository = hub.create("you/gated", files(tmp_path))
    repository.settings = {**repository.settings, "gated": "manual"}
    with pytest.raises(DownloadError, match="Access to model you/gated is restricted"):
        fetch(hub, "hf://you/gated")
    repository.settings = {**repository.settings, "readers": ["me"]}
    assert value_of(fetch(hub, "hf://you/gated")) == 1.0


def test_the_clients_login_and_the_environments_token(hub, hub_client, tmp_path, monkeypatch):
    hub.create(NAME, files(tmp_path), private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    assert value_of(stores.fetch(f"hf://{NAME}", endpoint=hub.url)) == 1.0
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="may be read with this token"):
        stores.fetch(f"hf://{NAME}", endpoint=hub.url)
    (tmp_path / "hf_home" / "token").write_text("hf_reader")
    assert value_of(stores.fetch(f"hf://{NAME}", endpoint=hub.url)) == 1.0


def test_what_does_not_exist(hub, tmp_path):
    hub.create(NAME, {"model.safetensors": b"x"})
    with pytest.raises(ValueError, match="expected a repository that exists"):
        fetch(hub, "hf://me/nothing")
    with pytest.raises(ValueError, match="expected a revision of me/net; Received: 'hf://me/net@v9'"):
        fetch(hub, f"hf://{NAME}@v9")
    with pytest.raises(
        ValueError, match="to hold a published model, keras_inception.json and what it names; Received: no keras_incep"
    ):
        fetch(hub)
    hub.repositories[NAME].push({"keras_inception.json": files(tmp_path)["keras_inception.json"]})
    with pytest.raises(ChecksumError, match="that keras_inception.json describes.*Received: commit .* with 1 bytes"):
        fetch(hub)


@pytest.mark.parametrize("name", ["keras_inception.json", "model.safetensors"])
def test_a_corrupt_download_is_fetched_once_more_and_then_refused(hub, tmp_path, caplog, name):
    hub.create(NAME, files(tmp_path))
    path = f"/{NAME}/resolve/.*/{name}"
    hub.order("corrupt", "GET", path, after=90)
    assert value_of(fetch(hub)) == 1.0
    assert hub.fired() == ["corrupt"] and f"{name} is not what it should be: once more" in caplog.text
    hub.repositories[NAME].push(files(tmp_path, 2.0))
    hub.order("corrupt", "GET", path, after=90, times=2)
    with pytest.raises(ChecksumError, match=f"expected {name} to be .*; Received: another file, twice"):
        fetch(hub)
    assert hub.fired() == ["corrupt"] * 3
    assert value_of(fetch(hub)) == 2.0  # and is repaired when the Hub is well again


def test_a_file_that_was_damaged_in_the_cache_is_fetched_anew(hub, hub_client, tmp_path, monkeypatch, caplog):
    hub.create(NAME, files(tmp_path))
    fetched = fetch(hub)
    for name in ("model.safetensors", "keras_inception.json"):
        path = fetched.folder / name
        data = bytearray(path.read_bytes())
        data[60] ^= 1
        path.resolve().write_bytes(data)
        monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
        with pytest.raises(DownloadError, match="not in the cache"):
            fetch(hub, f"hf://{NAME}@{fetched.commit}")
        monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", False)
        assert value_of(fetch(hub, f"hf://{NAME}@{fetched.commit}")) == 1.0


def test_json_of_other_weights(hub, tmp_path):
    mixed = {**files(tmp_path, 2.0), "model.safetensors": files(tmp_path, 1.0)["model.safetensors"]}
    hub.create(NAME, mixed)
    with pytest.raises(ChecksumError, match="expected model.safetensors to be the file that keras_inception.json"):
        fetch(hub)
    assert not any(path.endswith("model.safetensors") for _, path in requests(hub))  # the names alone tell


def test_a_newer_commit_that_cannot_be_had_leaves_the_older_one(hub, hub_client, tmp_path, monkeypatch):
    hub.create(NAME, files(tmp_path))
    commit = fetch(hub).commit
    hub.repositories[NAME].push(files(tmp_path, 2.0))
    hub.order("status", "GET", f"/{NAME}/resolve/.*/model.safetensors", status=503)
    with pytest.raises(DownloadError, match="model.safetensors could not be downloaded"):
        fetch(hub)
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    assert fetch(hub).commit == commit and hub.fired() == ["status"]


def test_what_one_hub_said_is_not_taken_for_anothers(hub, tmp_path):
    hub.create(NAME, files(tmp_path))
    fetch(hub)
    with pytest.raises(DownloadError, match="not in the cache"):
        stores.fetch(f"hf://{NAME}", endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize("answer", [b"<html>Please log in</html>", b"{}", b"[]"])
def test_a_server_that_is_no_hub(hub, tmp_path, monkeypatch, caplog, answer):
    hub.create(NAME, files(tmp_path))
    commit = fetch(hub).commit
    monkeypatch.setattr(hub.server.RequestHandlerClass, "answer", lambda self, method, path: self.send(answer))
    assert fetch(hub).commit == commit
    assert "answered, but not as a hub" in caplog.text


def test_json_that_is_too_large_is_not_downloaded(hub, tmp_path, monkeypatch):
    hub.create(NAME, files(tmp_path))
    monkeypatch.setattr(folders, "MAX_TEXT", 10)
    with pytest.raises(CheckpointError, match="keras_inception.json of at most 10 bytes"):
        fetch(hub)
    assert not any("/resolve/" in path for _, path in requests(hub))


def test_a_newer_format(hub, tmp_path):
    content = files(tmp_path)
    content["keras_inception.json"] = json.dumps({"format": 2}).encode()
    hub.create(NAME, content)
    with pytest.raises(CheckpointError, match="format 1 or earlier, and a newer version of keras_inception reads it"):
        fetch(hub)


def test_a_download_that_is_cut_goes_on(hub, tmp_path):
    hub.create(NAME, files(tmp_path, size=4_000_000))
    path = f"/{NAME}/resolve/.*/model.safetensors"
    hub.order("cut", "GET", path, after=12_000_000)
    assert value_of(fetch(hub)) == 1.0
    ranges = [entry.range for entry in hub.log if entry.path.endswith("model.safetensors") and entry.method == "GET"]
    assert hub.fired() == ["cut"] and ranges[0] is None and ranges[-1].startswith("bytes=")


def test_a_download_that_is_cut_again_and_again_is_one_error(hub, tmp_path, monkeypatch):
    hub.create(NAME, files(tmp_path))
    hub.order("cut", "GET", f"/{NAME}/resolve/.*/model.safetensors", after=50_000, times=None)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's pauses
    with pytest.raises(DownloadError, match="model.safetensors could not be downloaded"):
        fetch(hub)
    assert len(hub.fired()) > 1
    hub.faults.clear()
    assert value_of(fetch(hub)) == 1.0


def test_a_download_whose_process_is_killed_is_begun_again(hub, tmp_path):
    hub.create(NAME, files(tmp_path, size=4_000_000))
    hub.order("cut", "GET", f"/{NAME}/resolve/.*/model.safetensors", after=8_000_000)
    hub.order("slow", "GET", f"/{NAME}/resolve/.*/model.safetensors", seconds=30)
    command, environ = [sys.executable, "-c", FETCH, hub.url], environment(hub, tmp_path)
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
        while any(fault.times for fault in hub.faults) and process.poll() is None:
            time.sleep(0.05)
        process.kill()
    assert list((tmp_path / "home").rglob("*.incomplete"))
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
    (weights,) = (tmp_path / "home").rglob("model.safetensors")
    assert folders.sha256(weights) == folders.sha256(tmp_path / "folder1.0" / folders.WEIGHTS)


def test_all_of_a_folder_also_after_a_part_of_it(hub, tmp_path):
    hub.create(NAME, {**files(tmp_path), "README.md": b"# net"})
    commit = fetch(hub).commit
    whole = stores.fetch(f"hf://{NAME}@{commit}", token="hf_me", endpoint=hub.url, files="all")
    assert (whole.folder / "README.md").read_bytes() == b"# net"
    hub.log.clear()
    stores.fetch(f"hf://{NAME}@{commit}", token="hf_me", endpoint=hub.url, files="all")
    assert not hub.log
    (whole.folder / "README.md").write_bytes(b"# evil")
    stores.fetch(f"hf://{NAME}@{commit}", token="hf_me", endpoint=hub.url, files="all")
    assert (whole.folder / "README.md").read_bytes() == b"# net"


def test_the_json_alone(hub, hub_client, tmp_path, monkeypatch):
    repository = hub.create(NAME, files(tmp_path))
    first = fetch(hub).commit
    repository.push(files(tmp_path, 2.0))
    requests(hub)
    said = stores.fetch(f"hf://{NAME}", token="hf_me", endpoint=hub.url, files="none")
    assert said.content.files == {} and said.content.published.spec == {"variant": "paper"} and said.commit != first
    assert not any(path.endswith("model.safetensors") for _, path in requests(hub))
    # What can be had offline is still the commit whose weights are here.
    monkeypatch.setattr(hub_client, "HF_HUB_OFFLINE", True)
    assert value_of(fetch(hub)) == 1.0
    assert stores.fetch(f"hf://{NAME}@{said.commit}", endpoint=hub.url, files="none").commit == said.commit


FETCH = """
import sys
from keras_inception.hub import stores
stores.fetch("hf://me/net", token="hf_me", endpoint=sys.argv[1])
"""


def environment(hub, tmp_path):
    environ = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": ""}
    return environ | {"HF_HUB_DISABLE_TELEMETRY": "1", "KERAS_INCEPTION_CACHE": str(tmp_path / "cache")}


def test_a_terminal_sees_a_progress_bar_and_a_file_does_not(hub, tmp_path):
    hub.create(NAME, files(tmp_path, size=2_000_000))
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    command = [sys.executable, "-c", FETCH, hub.url]
    ends = {"stdout": subprocess.DEVNULL, "stderr": theirs}
    with subprocess.Popen(command, env=environment(hub, tmp_path / "terminal"), **ends) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
    assert process.returncode == 0, shown
    assert b"model.safetensors: 100%" in shown and b"8.00M/8.00M" in shown
    result = subprocess.run(command, env=environment(hub, tmp_path / "file"), capture_output=True, check=True)
    assert b"%" not in result.stderr and b"%" not in result.stdout


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


def test_a_notebook_sees_a_progress_bar(hub, tmp_path):
    from jupyter_client.manager import start_new_kernel

    hub.create(NAME, files(tmp_path, size=2_000_000))
    messages = []
    manager, client = start_new_kernel(env=environment(hub, tmp_path))
    try:
        code = f"import sys; sys.argv[1:] = ['{hub.url}']\n{FETCH}"
        reply = client.execute_interactive(code, timeout=120, output_hook=messages.append)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]
    shown = [m["content"]["data"] for m in messages if m["header"]["msg_type"] == "display_data"]
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown), messages


def test_large_files_through_xet(hub_client, tmp_path, monkeypatch):
    from huggingface_hub import CommitOperationAdd, HfApi

    monkeypatch.setattr(hub_client, "HF_HUB_DISABLE_XET", False)
    with Hub(tmp_path / "xet_hub", xet=True) as hub:
        hub.create(NAME)
        place = tmp_path / "folder1.0"
        content = files(tmp_path)
        operations = [CommitOperationAdd(name, str(place / name)) for name in content]
        HfApi(endpoint=hub.url, token="hf_me").create_commit(NAME, operations, commit_message="by Xet")
        assert value_of(fetch(hub)) == 1.0
        paths = [entry.path for entry in hub.log]
        assert any("xet-write-token" in path for path in paths) and any("xet-read-token" in path for path in paths)
        assert not any("/lfs/" in path for path in paths)

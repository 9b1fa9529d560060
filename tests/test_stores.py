"""`hf://` references against a server of the Hub's protocol on this machine, through the real client."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading

import pytest

from keras_inception import GoogLeNetSpec, checkpoints
from keras_inception.hub import serialization, stores
from keras_inception.models.googlenet import build_googlenet

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import sys
import keras_inception
model = keras_inception.GoogLeNet(weights=sys.argv[1], input_shape=(64, 64, 3))
print(model.output_shape, keras_inception.model_spec(model).labels)
"""


@pytest.mark.parametrize(
    "reference, expected",
    [
        ("hf://me/net", ("me/net", None)),
        ("hf://me/net@v1", ("me/net", "v1")),
        ("hf://me/net@refs/pr/1", ("me/net", "refs/pr/1")),
        (f"hf://me/net@{COMMIT}", ("me/net", COMMIT)),
    ],
)
def test_parse(reference, expected):
    assert stores.parse(reference) == expected


@pytest.mark.parametrize(
    "reference", ["hf://net", "hf://me/net/model.safetensors", "hf://me/net@", "me/net", "hf://me/ net"]
)
def test_malformed_references(reference):
    with pytest.raises(ValueError, match="expected hf://owner/name or hf://owner/name@revision; Received"):
        stores.parse(reference)


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository, me/net, with one commit, which `main` and `v1` name."""

    folder, requests = None, []

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        self.requests.append((self.command, self.path))
        path = self.path.split("?")[0]
        files = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        if re.fullmatch(rf"/api/models/me/net(/revision/(main|v1|{COMMIT}))?", path):
            siblings = [{"rfilename": name} for name in files]
            facts = {"id": "me/net", "sha": COMMIT, "private": False, "gated": False, "tags": [], "siblings": siblings}
            return self.send(json.dumps(facts).encode(), body)
        if path.startswith(f"/api/models/me/net/tree/{COMMIT}"):
            rows = [
                {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                for n, d in files.items()
            ]
            return self.send(json.dumps(rows).encode(), body)
        match = re.fullmatch(rf"/me/net/resolve/{COMMIT}/(.+)", path)
        if match and match[1] in files:
            data = files[match[1]]
            return self.send(data, body, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})
        self.send(b"{}", body, {"X-Error-Code": "RepoNotFound"}, status=404)

    def send(self, data, body, headers=(), status=200):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    spec = GoogLeNetSpec(stem="small", classes=2, labels=("cat", "dog"))
    checkpoint = checkpoints.to_checkpoint(build_googlenet(spec, input_shape=(64, 64, 3)))
    Hub.folder = serialization.write_folder(tmp_path_factory.mktemp("hub") / "net", checkpoint, half=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(reference, home, port, **variables):
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        **variables,
    }
    command = [sys.executable, "-c", PROGRAM, reference]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_weights_from_the_hub_come_from_one_commit_and_then_from_the_cache(server, tmp_path):
    port = server.server_address[1]
    result = load("hf://me/net@v1", tmp_path, port)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip().endswith("(None, 2) ('cat', 'dog')")
    downloads = [path for method, path in Hub.requests if "/resolve/" in path]
    assert downloads and all(f"/resolve/{COMMIT}/" in path for path in downloads)
    # A commit that is cached needs no server.
    result = load(f"hf://me/net@{COMMIT}", tmp_path, 9, HF_HUB_OFFLINE="1")
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_branch_whose_hub_is_down_comes_from_the_cache_and_the_log_says_so(server, tmp_path):
    assert load("hf://me/net@v1", tmp_path, server.server_address[1]).returncode == 0
    result = load("hf://me/net@v1", tmp_path, 9)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"The Hub did not answer; hf://me/net@v1 is commit {COMMIT} of the cache." in result.stderr


def test_a_repository_that_does_not_exist(server, tmp_path):
    result = load("hf://me/nothing", tmp_path, server.server_address[1])
    assert "ValueError: expected a repository that exists and may be read; Received: 'hf://me/nothing'" in result.stderr


def test_no_server_and_no_cache(tmp_path):
    result = load("hf://me/net", tmp_path, 9)
    assert "OSError: hf://me/net could not be had from the Hub, and is not cached" in result.stderr

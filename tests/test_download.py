"""Verified downloads from a real server on the loopback interface: good, short, wrong, stalled, killed, and offline."""

import contextlib
import dataclasses
import errno
import hashlib
import http.server
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from keras_inception.hub import download, manifest
from keras_inception.hub.download import CacheError, ChecksumError, DownloadError, fetch

BODY = bytes(range(256)) * 400
WRONG = BODY[:-1] + b"!"
SHA256 = hashlib.sha256(BODY).hexdigest()
BASE = manifest.entries()["bvlc"]


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path says how to behave; every request is noted."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        how = self.path.split("/")[1]
        self.server.requests.append((how, self.headers.get("Range")))
        with contextlib.suppress(ConnectionError):
            getattr(self, f"answer_{how}")()

    def send(self, body, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def part(self, body, length=None):
        """The part that was asked for; `length` is what the header claims for the whole."""
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        whole = len(BODY) if length is None else length
        if not start:
            return self.send(body, length=whole)
        if start >= len(BODY):
            return self.send(b"", 416)
        return self.send(body[start:], 206, whole - start, Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")

    def answer_good(self):
        self.part(BODY)

    def answer_gentle(self):
        # Slow enough that other processes ask meanwhile.
        time.sleep(0.5)
        self.part(BODY)

    def answer_wrong(self):
        self.send(WRONG)

    def answer_page(self):
        self.send(b"<html>our servers have moved</html>")

    def answer_missing(self):
        self.send(b"no", 404)

    def answer_broken(self):
        self.send(b"no", 500)

    def answer_moved(self):
        self.send(b"", 302, Location="/good/weights.bin")

    def answer_loop(self):
        self.send(b"", 302, Location="/loop/weights.bin")

    def answer_short(self):
        # The same first bytes again and again, and then the line goes dead.
        self.send(BODY[:1000], length=len(BODY))
        self.close_connection = True

    def answer_flaky(self):
        # A quarter of the file per connection.
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.part(BODY[: start + len(BODY) // 4 + 1])
        self.close_connection = True

    def answer_norange(self):
        # Breaks off once, and then knows no ranges.
        if [how for how, _ in self.server.requests].count("norange") == 1:
            return self.answer_short()
        return self.send(BODY)

    def answer_endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")

    def answer_unsized(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY[:1000])
        self.close_connection = True

    def answer_stalled(self):
        self.send(BODY[: len(BODY) // 2], length=len(BODY))
        self.server.stop.wait(20)
        self.close_connection = True


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.requests, server.stop = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """No proxy, no offline mode, a cache of the test's own, little patience."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "KERAS_HOME"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("KERAS_INCEPTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "TIMEOUT", 0.5)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def entry_of(server, *hows, **changes):
    """An entry whose mirrors behave in these ways, one after the other."""
    port = server.server_address[1]
    urls = tuple(how if "://" in how else f"http://127.0.0.1:{port}/{how}/weights.bin" for how in hows)
    file = manifest.File(
        "weights.bin", urls, changes.pop("bytes", len(BODY)), changes.pop("checksum", f"sha256:{SHA256}")
    )
    return dataclasses.replace(BASE, **{"tag": "toy", "file": file, "fallback": None, **changes})


def convert(original, converted):
    converted.write_bytes(b"converted " + original.read_bytes())


def never(original, converted):
    raise AssertionError("converted again")


def put(cache, content, name="weights.bin"):
    cache.mkdir(parents=True, exist_ok=True)
    (cache / name).write_bytes(content)


def leftovers(cache):
    return sorted(path.name for path in cache.iterdir() if path.name.startswith(".partial"))


def test_download_then_no_request_ever_again(server, cache, monkeypatch):
    entry = entry_of(server, "good")
    path = fetch(entry, convert)
    assert path == cache / f"toy-{SHA256[:8]}-v1.safetensors" == download.converted_path(entry)
    assert path.read_bytes() == b"converted " + BODY
    assert (cache / "weights.bin").read_bytes() == BODY
    assert leftovers(cache) == []
    monkeypatch.setattr("huggingface_hub.utils.get_session", None)
    assert fetch(entry, never) == path
    assert server.requests == [("good", None)]


@pytest.mark.parametrize(
    "dead",
    ["missing", "broken", "page", "wrong", "short", "loop", "endless", "unsized", "stalled"]
    + ["http://127.0.0.1:9/weights.bin", "http://nowhere.invalid/weights.bin"],
)
def test_a_dead_mirror_falls_through(server, cache, dead):
    path = fetch(entry_of(server, dead, "good"), convert)
    assert path.read_bytes() == b"converted " + BODY
    assert leftovers(cache) == []


def test_redirects_are_followed(server):
    fetch(entry_of(server, "moved"), convert)
    assert [how for how, _ in server.requests] == ["moved", "good"]


def test_broken_connections_are_taken_up(server, cache):
    fetch(entry_of(server, "flaky"), convert)
    quarter = len(BODY) // 4 + 1
    assert server.requests == [("flaky", f"bytes={k * quarter}-" if k else None) for k in range(4)]
    assert (cache / "weights.bin").read_bytes() == BODY


def test_a_server_without_ranges_sends_all_again(server, cache):
    fetch(entry_of(server, "norange"), convert)
    assert server.requests == [("norange", None), ("norange", "bytes=1000-")]
    assert (cache / "weights.bin").read_bytes() == BODY


def test_bytes_of_unknown_origin_are_thrown_away(server, cache):
    put(cache, WRONG[-1:] * 500, ".partial-weights.bin")
    fetch(entry_of(server, "good"), convert)
    assert server.requests == [("good", "bytes=500-"), ("good", None)]
    assert (cache / "weights.bin").read_bytes() == BODY


@pytest.mark.parametrize("extra, requests", [(0, 0), (9, 2)])
def test_a_partial_file_that_is_whole_or_too_long(server, cache, extra, requests):
    put(cache, BODY + bytes(extra), ".partial-weights.bin")
    fetch(entry_of(server, "good"), convert)
    assert len(server.requests) == requests
    assert (cache / "weights.bin").read_bytes() == BODY


def test_all_mirrors_dead(server, cache):
    with pytest.raises(DownloadError) as info:
        fetch(entry_of(server, "missing", "wrong", "short", "page"), never)
    first, *reasons = str(info.value).splitlines()
    assert "put the file weights.bin" in first and f"sha256:{SHA256}" in first and str(cache) in first
    assert "HTTP status 404" in reasons[0]
    assert f"Received: sha256:{hashlib.sha256(WRONG).hexdigest()}" in reasons[1]
    assert "/short/weights.bin: " in reasons[2]
    assert f"expected {len(BODY)} bytes; Received: an offer of 35 bytes" in reasons[3]
    assert isinstance(info.value, OSError)
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


def test_without_a_known_size(server):
    with pytest.raises(DownloadError, match="expected weights.bin of sha256"):
        fetch(entry_of(server, "page", bytes=None), never)
    fetch(entry_of(server, "short", "good", bytes=None), convert)


def test_size_is_bounded_even_if_unknown(server, cache, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", len(BODY) - 1)
    with pytest.raises(DownloadError, match=f"at most {len(BODY) - 1} bytes"):
        fetch(entry_of(server, "good", "endless", bytes=None), never)
    assert leftovers(cache) == []


@pytest.mark.parametrize("algorithm", ["sha1", "sha384", "sha256-prefix"])
def test_other_checksums(server, cache, algorithm):
    digest = hashlib.new(algorithm.removesuffix("-prefix"), BODY).hexdigest()
    digest = digest[:8] if algorithm == "sha256-prefix" else digest
    assert fetch(entry_of(server, "good", checksum=f"{algorithm}:{digest}"), convert).name == (
        f"toy-{digest[:8]}-v1.safetensors"
    )
    with pytest.raises(DownloadError, match="Received: sha"):
        fetch(entry_of(server, "wrong", checksum=f"{algorithm}:{digest}"), never, cache_dir=cache / "other")


def test_a_file_put_there_by_hand(server, cache):
    put(cache, BODY)
    assert fetch(entry_of(server, "missing"), convert).read_bytes() == b"converted " + BODY
    assert server.requests == []


@pytest.mark.parametrize("content", [WRONG, BODY[:-1], b""])
def test_a_wrong_file_put_there_by_hand(server, cache, content):
    put(cache, content)
    with pytest.raises(ChecksumError, match="expected weights.bin of .*Received: .*weights.bin.rejected"):
        fetch(entry_of(server, "good"), never)
    assert (cache / "weights.bin.rejected").read_bytes() == content
    assert server.requests == []
    fetch(entry_of(server, "good"), convert)
    assert (cache / "weights.bin").read_bytes() == BODY


def test_unverified_is_refused(server, cache, caplog):
    entry = entry_of(server, "good", checksum=None, bytes=None)
    with pytest.raises(ChecksumError, match="expected allow_unverified=True.*Received: allow_unverified=False"):
        fetch(entry, never)
    assert server.requests == [] and not cache.exists()
    with caplog.at_level(logging.WARNING):
        path = fetch(entry, convert, allow_unverified=True)
    assert path.name == "toy-unverified-v1.safetensors"
    assert f"sha256:{SHA256}" in caplog.text
    with pytest.raises(ChecksumError, match=f"the file in the cache has sha256:{SHA256}"):
        fetch(entry, never)
    assert fetch(entry, never, allow_unverified=True) == path


def test_offline(server, cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=f"(?s)put the file weights.bin .*{SHA256}.*HF_HUB_OFFLINE is set"):
        fetch(entry_of(server, "good"), never)
    assert server.requests == []
    put(cache, BODY)
    fetch(entry_of(server, "good"), convert)


def test_a_failed_conversion_leaves_the_original(server, cache):
    def fail(original, converted):
        converted.write_bytes(b"half")
        raise ValueError("not understood")

    entry = entry_of(server, "good")
    with pytest.raises(ValueError, match="not understood"):
        fetch(entry, fail)
    assert leftovers(cache) == [] and not download.converted_path(entry).exists()
    fetch(entry, convert)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_full_or_forbidden_disk_while_downloading(server, cache, monkeypatch, code):
    def write(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", write)
    with pytest.raises(CacheError, match=f"cache folder {cache}; Received: .*KERAS_INCEPTION_CACHE") as info:
        fetch(entry_of(server, "good", "good"), never)
    assert isinstance(info.value, DownloadError)
    assert len(server.requests) == 1
    assert leftovers(cache) == []


def test_full_disk_while_converting(server, cache):
    def fill(original, converted):
        converted.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CacheError, match="No space left"):
        fetch(entry_of(server, "good"), fill)
    assert leftovers(cache) == []


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_cache_folder_that_is_a_file(server, tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="expected room and the permission"):
        fetch(entry_of(server, "good"), never, cache_dir=tmp_path / "file" / below)


def test_other_errors_of_the_conversion_pass(server):
    def missing(original, converted):
        raise FileNotFoundError(errno.ENOENT, "No such file", "other")

    with pytest.raises(FileNotFoundError, match="other"):
        fetch(entry_of(server, "good"), missing)


def test_cache_folder(monkeypatch, tmp_path):
    assert download.cache_folder() == tmp_path / "cache"
    assert download.cache_folder(tmp_path / "x") == tmp_path / "x"
    monkeypatch.delenv("KERAS_INCEPTION_CACHE")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert download.cache_folder() == tmp_path / "k" / "keras_inception"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".keras" / "keras_inception"


# --- the second source -------------------------------------------------------------------------------------------


@pytest.fixture
def pair(server, monkeypatch):
    second = entry_of(server, "good", tag="second", aux_heads=False)
    monkeypatch.setattr(manifest, "entries", lambda: {"second": second})
    return lambda *hows: entry_of(server, *hows, fallback="second")


def test_second_source(pair, server, caplog):
    path, used = download.fetch_or_fall_back(pair("missing"), lambda entry: convert)
    assert used.tag == "second" and path.name.startswith("second-")
    assert "without its auxiliary heads" in caplog.text
    del server.requests[:]
    assert download.fetch_or_fall_back(pair("missing"), lambda entry: never) == (path, used)
    assert server.requests == []


def test_second_source_is_not_needed(pair, server):
    entry = pair("good")
    assert download.fetch_or_fall_back(entry, lambda entry: convert)[1] == entry
    assert download.fetch_or_fall_back(entry, lambda entry: never, aux_heads=True)[1] == entry
    assert len(server.requests) == 1


def test_second_source_lacks_the_heads(pair):
    with pytest.raises(DownloadError, match="(?s)404.*'second', has no auxiliary heads"):
        download.fetch_or_fall_back(pair("missing"), lambda entry: never, aux_heads=True)


def test_both_sources_dead(pair, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="(?s)weights 'toy'.*The second source, 'second': .*weights 'second'"):
        download.fetch_or_fall_back(pair("missing"), lambda entry: never)


def test_no_second_source(server):
    with pytest.raises(DownloadError, match="404"):
        download.fetch_or_fall_back(entry_of(server, "missing"), lambda entry: never)


# --- several processes -------------------------------------------------------------------------------------------

# Loads the two modules alone: what the rest of the package imports is not under test here, and takes seconds.
PROGRAM = textwrap.dedent(
    """
    import dataclasses, json, pathlib, sys, types
    sys.modules["keras_inception"] = package = types.ModuleType("keras_inception")
    package.__path__ = [sys.argv[1]]
    from keras_inception.hub import download, manifest
    spec = json.loads(sys.argv[2])
    base = manifest.entries()["bvlc"]
    entry = dataclasses.replace(base, tag="toy", fallback=None, file=manifest.File(**spec))
    print("ready", flush=True)
    sys.stdin.readline()
    print(download.fetch(entry, lambda original, converted: converted.write_bytes(original.read_bytes())))
    """
)


@contextlib.contextmanager
def process(entry):
    package = pathlib.Path(download.__file__).parents[1]
    command = [sys.executable, "-c", PROGRAM, str(package), json.dumps(dataclasses.asdict(entry.file))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def test_four_processes_download_once(server):
    entry = entry_of(server, "gentle")
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(process(entry)) for _ in range(4)]
        assert [child.stdout.readline() for child in children] == ["ready\n"] * 4
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        answers = [child.communicate(timeout=60)[0].strip() for child in children]
    assert answers == [str(download.converted_path(entry))] * 4
    assert server.requests == [("gentle", None)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_a_killed_process_is_followed_by_another(server, cache):
    partial = cache / ".partial-weights.bin"
    with process(entry_of(server, "stalled")) as child:
        child.stdout.readline()
        child.stdin.write("go\n")
        child.stdin.flush()
        # It holds the lock, and waits for the second half of the file.
        deadline = time.monotonic() + 30
        while not (partial.is_file() and partial.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    begun = partial.stat().st_size
    assert 0 < begun <= len(BODY) // 2
    fetch(entry_of(server, "good"), convert)
    assert (cache / "weights.bin").read_bytes() == BODY
    assert server.requests == [("stalled", None), ("good", f"bytes={begun}-")]
    assert leftovers(cache) == []

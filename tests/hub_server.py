"""A hub on this machine: the Hugging Face Hub's protocol as its own client speaks it, with faults to order.

    python tests/hub_server.py FOLDER [--port 8080] [--token hf_mine --user me]

Repositories are folders with commits, tags and large files (`hub_repository.py`). `Hub` is the server in a thread:

    with Hub(folder) as hub:
        hub.create("me/net", {"README.md": b"# net"})
        hub.order("cut", "GET", "/me/net/resolve/.*", after=1000)   # the next such answer ends after 1000 bytes
        ... HfApi(endpoint=hub.url) ...
        assert [entry.fault for entry in hub.log if entry.fault] == ["cut"]

Nothing here knows `keras_inception`.
"""

import argparse
import base64
import dataclasses
import http.server
import json
import pathlib
import re
import struct
import threading
import time
import urllib.parse

import yaml
from hub_repository import Conflict, File, Repository, pointer

FAULTS = ("cut", "corrupt", "slow", "status", "lost_answer", "strange_answer", "first")


@dataclasses.dataclass
class Fault:
    """Something that goes wrong with the next requests that match.

    Args:
        kind: `"cut"`: the answer's body ends after `after` bytes; `"corrupt"`: its byte `after` has another value;
            `"slow"`: nothing is sent for `seconds`; `"status"`: `status` is answered, nothing done; `"lost_answer"`:
            it is done, and the connection closed without an answer; `"strange_answer"`: it is done, and `page`
            answered instead of what was asked for, as by a proxy; `"first"`: `call` is called first, with the hub.
        method: of the request.
        path: a regular expression for the whole path.
        times: how many requests; None for all.
    """

    kind: str
    method: str
    path: str
    times: int | None = 1
    after: int = 0
    seconds: float = 0.0
    status: int = 503
    page: bytes = b"<html>Please log in</html>"
    call: object = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A request that was answered, or was not."""

    method: str
    path: str
    status: int | None
    user: str | None
    fault: str | None
    range: str | None
    bytes: int


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status, code="", message=""):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Hub:
    """The server. As a context manager it runs in a thread of its own.

    Args:
        folder: where the repositories are.
        users: user names by token; a token `(name, "read")` may not write.
        xet: whether large files go through Xet, with a folder in place of its server.
        port: 0 for any.
    """

    def __init__(self, folder, users=None, *, xet=False, port=0):
        self.folder, self.xet = pathlib.Path(folder), xet
        self.users = {
            "hf_me": ("me", "write"),
            "hf_you": ("you", "write"),
            "hf_reader": ("me", "read"),
            **(users or {}),
        }
        self.entries, self.faults, self.lock = [], [], threading.RLock()
        self.answering, self.idle = 0, threading.Condition()
        self.repositories = {}
        for path in sorted(self.folder.glob("*/*/refs.json")):
            self.repositories["/".join(path.parent.parts[-2:])] = Repository(path.parent)
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def create(self, name, files=None, *, private=False) -> Repository:
        """A repository, with a commit of these files."""
        with self.lock:
            repository = self.repositories[name] = Repository.create(self.folder / name, private)
        if files:
            repository.push(files)
        return repository

    def order(self, kind, method, path, **options) -> Fault:
        """Orders a fault; the first that matches a request happens."""
        if kind not in FAULTS:
            raise ValueError(f"expected a fault, one of {', '.join(FAULTS)}; Received: {kind}")
        fault = Fault(kind, method, path, **options)
        self.faults.append(fault)
        return fault

    def take_fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault.times != 0 and fault.method == method and re.fullmatch(fault.path, path):
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    @property
    def log(self) -> list[Entry]:
        """The requests that were answered; whoever has an answer finds its request here."""
        with self.idle:
            self.idle.wait_for(lambda: self.answering == 0, timeout=30)
        return self.entries

    def fired(self) -> list[str]:
        """The faults that happened, in order."""
        return [entry.fault for entry in self.log if entry.fault]


ROUTES = []


def route(method, pattern):
    """Registers a method of the handler for paths; `{name}` is a repository, `{revision}` and `{path}` quoted parts."""
    expression = pattern.replace("{name}", r"(?P<name>[\w.-]+/[\w.-]+)").replace("{revision}", "(?P<revision>[^/?]+)")
    expression = expression.replace("{path}", "(?P<path>[^?]+)").replace("{oid}", "(?P<oid>[0-9a-f]{64})")

    def register(function):
        ROUTES.append((method, re.compile(expression), function))
        return function

    return register


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def do_GET(self):
        self.handle_request("GET")

    def do_HEAD(self):
        self.handle_request("HEAD")

    def do_POST(self):
        self.handle_request("POST")

    def do_PUT(self):
        self.handle_request("PUT")

    def do_DELETE(self):
        self.handle_request("DELETE")

    def log_message(self, *arguments):
        pass

    def handle_request(self, method):
        with self.hub.idle:
            self.hub.answering += 1
        url = urllib.parse.urlsplit(self.path)
        self.sent, self.status, self.user, self.fault = 0, None, None, None
        try:
            self.query = urllib.parse.parse_qs(url.query)
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                self.body = self.read_chunks()
            self.fault = self.hub.take_fault(method, url.path)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            self.user, self.role = self.hub.users.get(token, (None, None))
            self.answer(method, url.path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            fault, ranges = self.fault and self.fault.kind, self.headers.get("Range")
            self.hub.entries.append(Entry(method, url.path, self.status, self.user, fault, ranges, self.sent))
            with self.hub.idle:
                self.hub.answering -= 1
                self.hub.idle.notify_all()

    def read_chunks(self):
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, method, path):
        kind = self.fault.kind if self.fault else None
        if kind == "slow":
            time.sleep(self.fault.seconds)
        elif kind == "first":
            self.fault.call(self.hub)
        try:
            if kind == "status":
                raise Refusal(self.fault.status, message="ordered")
            if self.headers.get("Authorization") and self.user is None:
                raise Refusal(401, message="Invalid credentials in Authorization header")
            for known, expression, function in ROUTES:
                match = expression.fullmatch(path)
                if known == method and match:
                    found = {k: urllib.parse.unquote(v) for k, v in match.groupdict().items() if v is not None}
                    return function(self, **found)
            raise Refusal(404, message=f"no route for {method} {path}")
        except Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            body = {"error": refusal.message}
            self.json(body, refusal.status, {k: v for k, v in headers.items() if v})

    def json(self, data, status=200, headers=()):
        self.send(json.dumps(data).encode(), status, {"Content-Type": "application/json", **dict(headers)})

    def send(self, data, status=200, headers=(), length=None):
        fault = self.fault
        if fault and fault.kind == "lost_answer":
            self.close_connection = True
            return
        if fault and fault.kind == "strange_answer":
            data, status, headers = fault.page, 200, {"Content-Type": "text/html"}
        self.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data) if length is None else length), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.kind == "corrupt":
            if fault.after >= len(data):
                raise ValueError(f"expected a byte {fault.after} to corrupt; Received: an answer of {len(data)} bytes")
            data = data[: fault.after] + bytes([data[fault.after] ^ 1]) + data[fault.after + 1 :]
        if fault and fault.kind == "cut":
            data, self.close_connection = data[: fault.after], True
        self.wfile.write(data)
        self.sent = len(data)

    def repository(self, name, write=False) -> Repository:
        repository = self.hub.repositories.get(name)
        owner = self.user is not None and name.startswith(f"{self.user}/")
        readable = repository and (not repository.settings["private"] or owner)
        if not readable:
            if self.user is None:
                raise Refusal(401, message="Invalid username or password.")
            raise Refusal(404, "RepoNotFound", "Repository not found")
        if write and not (owner and self.role == "write"):
            raise Refusal(403, message=f"You don't have the rights to write to {name}.")
        return repository

    def readable(self, name) -> Repository:
        """The repository, whose files this user may read."""
        repository = self.repository(name)
        gate = repository.settings
        if gate["gated"] and self.user not in gate["readers"] and not name.startswith(f"{self.user}/"):
            raise Refusal(403, "GatedRepo", f"Access to model {name} is restricted.")
        return repository

    def commit_of(self, repository, revision) -> str:
        commit = repository.resolve(revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def payload(self):
        return json.loads(self.body or b"{}")

    @route("GET", "/api/agent-harnesses")
    def harnesses(self):
        self.json({"standardEnvVars": [], "harnesses": {}})

    @route("GET", "/api/whoami-v2")
    def whoami(self):
        if self.user is None:
            raise Refusal(401, message="Invalid username or password.")
        self.json({"name": self.user, "orgs": [], "auth": {"accessToken": {"role": self.role}}})

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self):
        content = self.payload()["content"]
        match = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            data = yaml.safe_load(match[1]) if match else {}
        except yaml.YAMLError as error:
            return self.json({"errors": [{"message": str(error)}], "warnings": []}, 400)
        errors = [] if isinstance(data, dict) else [{"message": "expected a mapping"}]
        self.json({"errors": errors, "warnings": []}, 400 if errors else 200)

    @route("POST", "/api/repos/create")
    def create(self):
        if self.user is None or self.role != "write":
            raise Refusal(401 if self.user is None else 403, message="You don't have the rights to create a model.")
        data = self.payload()
        name = f"{data.get('organization') or self.user}/{data['name']}"
        if not name.startswith(f"{self.user}/"):
            raise Refusal(403, message=f"You don't have the rights to create a model under {name.split('/')[0]}.")
        url = f"{self.hub.url}/{name}"
        with self.hub.lock:
            if name in self.hub.repositories:
                return self.json({"error": "You already created this model repo", "url": url}, 409)
            self.hub.create(name, private=data.get("visibility") == "private" or data.get("private") is True)
        self.json({"url": url})

    @route("GET", "/api/models/{name}(?:/revision/{revision})?")
    def info(self, name, revision="main"):
        repository = self.repository(name)
        commit = self.commit_of(repository, revision)
        blobs = "blobs" in self.query
        siblings = [
            {"rfilename": path, **(_sibling(file) if blobs else {})} for path, file in repository.files(commit).items()
        ]
        settings, date = repository.settings, repository.describe(commit)["date"]
        facts = {"id": name, "sha": commit, "lastModified": date, "tags": [], "siblings": siblings}
        self.json({**facts, "private": settings["private"], "gated": settings["gated"]})

    @route("GET", "/api/models/{name}/tree/{revision}(?:/{path})?")
    def tree(self, name, revision, path=""):
        repository = self.readable(name)
        files = repository.files(self.commit_of(repository, revision))
        self.json([_row(p, file) for p, file in files.items() if p.startswith(path)])

    @route("POST", "/api/models/{name}/paths-info/{revision}")
    def paths_info(self, name, revision):
        repository = self.readable(name)
        files = repository.files(self.commit_of(repository, revision))
        asked = urllib.parse.parse_qs(self.body.decode()).get("paths", [])
        self.json([_row(path, files[path]) for path in asked if path in files])

    @route("GET", "/api/models/{name}/refs")
    def refs(self, name):
        refs = self.repository(name).refs
        rows = {
            kind: [{"name": n, "ref": f"{prefix}{n}", "targetCommit": c} for n, c in refs[kind].items()]
            for kind, prefix in (("branches", "refs/heads/"), ("tags", "refs/tags/"))
        }
        self.json({**rows, "converts": []})

    @route("GET", "/api/models/{name}/commits/{revision}")
    def commits(self, name, revision):
        repository = self.repository(name)
        history = repository.history(self.commit_of(repository, revision))
        self.json([{"id": c, "title": d["title"], "message": "", "authors": [], "date": d["date"]} for c, d in history])

    @route("POST", "/api/models/{name}/tag/{revision}")
    def tag(self, name, revision):
        repository = self.repository(name, write=True)
        if not repository.set_ref("tags", self.payload()["tag"], self.commit_of(repository, revision)):
            raise Refusal(409, message="Tag reference exists already")
        self.json({})

    @route("DELETE", "/api/models/{name}/tag/{revision}")
    def untag(self, name, revision):
        if not self.repository(name, write=True).set_ref("tags", revision, None):
            raise Refusal(404, "RevisionNotFound", f"Tag not found: {revision}")
        self.json({})

    @route("POST", "/api/models/{name}/branch/{revision}")
    def branch(self, name, revision):
        repository = self.repository(name, write=True)
        start = self.payload().get("startingPoint") or "main"
        if not repository.set_ref("branches", revision, self.commit_of(repository, start)):
            raise Refusal(409, message="Reference already exists")
        self.json({})

    @route("POST", "/api/models/{name}/preupload/{revision}")
    def preupload(self, name, revision):
        repository = self.repository(name, write="create_pr" not in self.query)
        present = repository.files(self.commit_of(repository, revision))
        rows = []
        for file in self.payload()["files"]:
            large = repository.is_large(file["path"], file["size"], base64.b64decode(file["sample"]))
            row = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if file["path"] in present:
                row["oid"] = present[file["path"]].etag
            rows.append(row)
        self.json({"files": rows})

    @route("POST", r"/{name}\.git/info/lfs/objects/batch")
    def lfs_batch(self, name):
        repository, rows = self.repository(name), []
        for item in self.payload()["objects"]:
            row = {"oid": item["oid"], "size": item["size"]}
            if not repository.large(item["oid"], item["size"]):
                row["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{name}/{item['oid']}"}}
            rows.append(row)
        self.json({"transfer": "basic", "objects": rows})

    @route("PUT", "/lfs/{name}/{oid}")
    def lfs_upload(self, name, oid):
        # Its address is its permission, as with the presigned addresses of a real store.
        file = self.hub.repositories[name].store(self.body, large=True)
        if file.sha256 != oid:
            (self.hub.repositories[name].folder / "objects" / file.sha256).unlink()
            raise Refusal(400, message=f"expected the content of {oid}, and it is {file.sha256}")
        self.send(b"")

    @route("POST", "/api/models/{name}/commit/{revision}")
    def commit(self, name, revision):
        request = "create_pr" in self.query
        repository = self.repository(name, write=not request)
        if request and self.user is None:
            raise Refusal(401, message="Invalid username or password.")
        self.commit_of(repository, revision)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header, add, delete = lines[0]["value"], {}, []
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                add[value["path"]] = repository.store(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                if self.hub.xet:
                    self.keep_xet(repository, value["oid"])
                add[value["path"]] = repository.large(value["oid"], value["size"])
                if add[value["path"]] is None:
                    raise Refusal(400, message=f"the content of {value['path']} was never uploaded")
            else:
                delete.append(value["path"].rstrip("/") + ("/" if line["key"] == "deletedFolder" else ""))
        try:
            commit, ref = repository.commit(
                revision,
                header["summary"],
                add=add,
                delete=delete,
                parent=header.get("parentCommit"),
                request=request,
            )
        except Conflict as conflict:
            raise Refusal(412, message="A commit has happened since. Please refresh and try again.") from conflict
        answer = {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"}
        if request:
            answer["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{ref.rsplit('/', 1)[1]}"
        self.json(answer)

    def keep_xet(self, repository, sha256):
        """Fetches what the client has put into the folder that stands for Xet's server, with Xet's own client."""
        if (repository.folder / "objects" / sha256).is_file():
            return
        import hf_xet

        hashes = _xet_hashes(self.hub.folder / "xet")
        if sha256 not in hashes:
            raise Refusal(400, message=f"the content of {sha256} was never uploaded")
        target = repository.folder / "objects" / sha256
        group = hf_xet.XetSession().new_file_download_group(endpoint=self.xet_url)
        with group as downloads:
            downloads.start_download_file(hf_xet.XetFileInfo(*hashes[sha256]), str(target))

    @property
    def xet_url(self):
        return f"local://{(self.hub.folder / 'xet').absolute()}"

    @route("GET", "/api/models/{name}/xet-(?:read|write)-token/{revision}")
    def xet_token(self, name, revision):
        if not self.hub.xet:
            raise Refusal(404, message="no Xet here")
        self.repository(name, write=self.path.split("/")[5].startswith("xet-write"))
        (self.hub.folder / "xet").mkdir(exist_ok=True)
        names = {"Cas-Url": self.xet_url, "Access-Token": "token", "Token-Expiration": str(int(time.time()) + 3600)}
        body = {"casUrl": self.xet_url, "accessToken": "token", "exp": int(time.time()) + 3600}
        self.json(body, headers={f"X-Xet-{key}": value for key, value in names.items()})

    @route("HEAD", "/{name}/resolve/{revision}/{path}")
    @route("GET", "/{name}/resolve/{revision}/{path}")
    def resolve(self, name, revision, path):
        repository = self.readable(name)
        commit = self.commit_of(repository, revision)
        file = repository.files(commit).get(path)
        if file is None:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.oid}"', "Accept-Ranges": "bytes"}
        if file.sha256:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
            hashes = _xet_hashes(self.hub.folder / "xet") if self.hub.xet else {}
            if file.sha256 in hashes:
                token = f"{self.hub.url}/api/models/{name}/xet-read-token/{commit}"
                headers |= {"X-Xet-Hash": hashes[file.sha256][0], "Link": f'<{token}>; rel="xet-auth"'}
        data = repository.content(file)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if match and int(match[1]) < len(data):
            first, last = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            return self.send(data[first : last + 1], 206, headers)
        self.send(data, 200, headers)


def _sibling(file: File) -> dict:
    facts = {"size": file.size, "blobId": file.oid}
    if file.sha256:
        size = len(pointer(file.sha256, file.size))
        facts["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
    return facts


def _row(path: str, file: File) -> dict:
    row = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    if file.sha256:
        size = len(pointer(file.sha256, file.size))
        row["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": size}
    return row


def _xet_hashes(folder) -> dict[str, tuple[str, int]]:
    """Xet's hash and the size of each stored file by its sha256, from the shards, which are Xet's indices.

    A shard begins with a header of 48 bytes; then come files, each of 48-byte records: its hash and flags, a record per
    segment, a record per segment for verification (flag 31), and one with its sha256 (flag 30), until a hash of ones.
    """
    found = {}
    for path in pathlib.Path(folder).rglob("*.mdb"):
        data, at = path.read_bytes(), 48
        while data[at : at + 32] not in (b"", b"\xff" * 32):
            name, (flags, count) = data[at : at + 32], struct.unpack_from("<II", data, at + 32)
            sizes = [struct.unpack_from("<I", data, at + 48 * (k + 1) + 36)[0] for k in range(count)]
            at += 48 * (1 + count * (2 if flags >> 31 else 1))
            if flags >> 30 & 1:
                found[_hex(data[at : at + 32])] = _hex(name), sum(sizes)
                at += 48
    return found


def _hex(value: bytes) -> str:
    """A hash as Xet writes it: four numbers of 64 bits."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", value))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--token", default="hf_me")
    parser.add_argument("--user", default="me")
    arguments = parser.parse_args()
    hub = Hub(arguments.folder, {arguments.token: (arguments.user, "write")}, port=arguments.port)
    print(f"export HF_ENDPOINT={hub.url} HF_TOKEN={arguments.token} HF_HUB_DISABLE_XET=1", flush=True)
    hub.server.serve_forever()


if __name__ == "__main__":
    main()

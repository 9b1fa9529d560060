"""Repositories of the test hub: commits, branches, tags and large files in a folder, with git's own blob names."""

import dataclasses
import datetime
import fnmatch
import hashlib
import json
import pathlib
import re
import threading

ATTRIBUTES = ".gitattributes"
LARGE = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in ("h5", "keras", "safetensors"))


def blob_id(data: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """What git holds in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


class Conflict(Exception):
    """The branch is at another commit than the one that was expected."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a commit: git's name of it, its size, and the sha256 of its content where that is stored apart."""

    oid: str
    size: int
    sha256: str | None = None

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


class Repository:
    """One repository in a folder of its own.

    Args:
        folder: `objects/` (contents by name), `commits/` (JSON by commit id), `refs.json` and `settings.json`.
    """

    def __init__(self, folder):
        self.folder, self.lock = pathlib.Path(folder), threading.RLock()

    @classmethod
    def create(cls, folder, private=False):
        repository = cls(folder)
        for name in ("objects", "commits"):
            (repository.folder / name).mkdir(parents=True)
        repository.settings = {"private": private, "gated": False, "readers": []}
        repository._write("refs.json", {"branches": {}, "tags": {}, "requests": {}})
        repository.commit("main", "initial commit", add={ATTRIBUTES: repository.store(LARGE.encode())})
        return repository

    def _write(self, name, data):
        (self.folder / name).write_text(json.dumps(data, indent=1))

    def _read(self, name):
        return json.loads((self.folder / name).read_text())

    @property
    def settings(self) -> dict:
        return self._read("settings.json")

    @settings.setter
    def settings(self, values):
        self._write("settings.json", values)

    @property
    def refs(self) -> dict:
        return self._read("refs.json")

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, a tag, a pull request or a commit id; None if there is none."""
        refs = self.refs
        for kind in ("branches", "tags", "requests"):
            if revision in refs[kind]:
                return refs[kind][revision]
        return revision if re.fullmatch("[0-9a-f]{40}", revision) and self._commit_path(revision).is_file() else None

    def _commit_path(self, commit):
        return self.folder / "commits" / f"{commit}.json"

    def describe(self, commit: str) -> dict:
        """Parent, title, date and files of a commit."""
        return json.loads(self._commit_path(commit).read_text())

    def files(self, commit: str) -> dict[str, File]:
        return {path: File(**file) for path, file in self.describe(commit)["files"].items()}

    def history(self, commit: str | None):
        """The commits from this one back, as (id, description)."""
        while commit is not None:
            description = self.describe(commit)
            yield commit, description
            commit = description["parent"]

    def is_large(self, path: str, size: int, sample: bytes) -> bool:
        files = self.files(self.refs["branches"]["main"])
        lines = self.content(files[ATTRIBUTES]).decode().splitlines() if ATTRIBUTES in files else []
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        return size > 10_000_000 or b"\0" in sample or any(fnmatch.fnmatch(path, pattern) for pattern in patterns)

    def store(self, data: bytes, large=False) -> File:
        """Keeps a content."""
        if not large:
            file = File(blob_id(data), len(data))
        else:
            sha256 = hashlib.sha256(data).hexdigest()
            file = File(blob_id(pointer(sha256, len(data))), len(data), sha256)
        (self.folder / "objects" / file.etag).write_bytes(data)
        return file

    def large(self, sha256: str, size: int) -> File | None:
        """The large file of this name and size, if its content is here."""
        path = self.folder / "objects" / sha256
        there = path.is_file() and path.stat().st_size == size
        return File(blob_id(pointer(sha256, size)), size, sha256) if there else None

    def content(self, file: File) -> bytes:
        return (self.folder / "objects" / file.etag).read_bytes()

    def commit(self, branch, title, *, add=None, delete=(), parent=None, request=False) -> tuple[str, str]:
        """Puts a commit upon a branch, or upon a pull request of its own.

        Args:
            branch: its name.
            title: of the commit.
            add: `File`s by path.
            delete: paths, which end in `/` for folders.
            parent: the commit that the branch must be at.
            request: leave the branch, and make a pull request.

        Returns:
            The commit's id, and the name of what it was put upon.

        Raises:
            Conflict: the branch is elsewhere.
        """
        with self.lock:
            refs = self.refs
            head = refs["branches"].get(branch)
            if parent not in (None, head):
                raise Conflict(f"expected {parent}, and {branch} is at {head}")
            files = dict(self.describe(head)["files"]) if head else {}
            for path in delete:
                files = {
                    k: v for k, v in files.items() if k != path and not (path.endswith("/") and k.startswith(path))
                }
            files |= {path: dataclasses.asdict(file) for path, file in (add or {}).items()}
            date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            text = json.dumps({"parent": head, "title": title, "date": date, "files": files}, sort_keys=True)
            commit = hashlib.sha1(text.encode()).hexdigest()
            self._commit_path(commit).write_text(text)
            kind, name = ("requests", f"refs/pr/{len(refs['requests']) + 1}") if request else ("branches", branch)
            refs[kind][name] = commit
            self._write("refs.json", refs)
            return commit, name

    def push(self, files: dict[str, bytes], title="pushed", branch="main") -> str:
        """A commit of these contents, as somebody else would make it; its id."""
        add = {path: self.store(data, self.is_large(path, len(data), data[:512])) for path, data in files.items()}
        return self.commit(branch, title, add=add)[0]

    def set_ref(self, kind: str, name: str, commit: str | None) -> bool:
        """Makes a tag or branch, or with None removes it; False where it is there already, or is not."""
        with self.lock:
            refs = self.refs
            if (name in refs[kind]) == (commit is not None):
                return False
            if commit is None:
                del refs[kind][name]
            else:
                refs[kind][name] = commit
            self._write("refs.json", refs)
            return True

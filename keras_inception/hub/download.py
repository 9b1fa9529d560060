"""The verified download of public weights: the original file from whichever mirror still has it, converted once."""

import contextlib
import errno
import hashlib
import logging
import os
import pathlib

from keras_inception.hub import manifest

logger = logging.getLogger(__name__)

# Seconds to connect, and between two pieces of the body; a mirror that stalls must not hold anyone for minutes.
TIMEOUT = 20.0
# Requests to one mirror whose connection breaks after it has sent something; each goes on where the last one ended.
ATTEMPTS = 5
# To be raised when a reader or the manifest comes to give something else, so that nobody keeps what was converted
# before.
CONVERSION = 1
# For a file whose size was not published: the largest of them has some 54 MB.
MAX_BYTES = 1 << 30

# What a full disk or a folder that may not be written raises; every mirror would meet it again.
_CACHE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_CACHE_ERRORS |= {errno.EEXIST, errno.EISDIR}


class ChecksumError(ValueError):
    """A file is not the one that was published, or nothing was published to tell by."""


class DownloadError(OSError):
    """A file could not be had from any mirror, or not be stored."""


class CacheError(DownloadError):
    """The cache folder is full, or cannot be written."""


class _Refusal(Exception):
    """A mirror answered, but with something else than the file."""


def cache_folder(cache_dir=None) -> pathlib.Path:
    """Where downloads and their conversions are kept.

    Args:
        cache_dir: the folder; None for `$KERAS_INCEPTION_CACHE`, or else the folder `keras_inception` in Keras' home,
            which is `$KERAS_HOME` or `~/.keras`.
    """
    if cache_dir is None:
        cache_dir = os.environ.get("KERAS_INCEPTION_CACHE")
    if not cache_dir:
        cache_dir = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras") / "keras_inception"
    return pathlib.Path(cache_dir).expanduser().absolute()


def converted_path(entry: manifest.Entry, cache_dir=None) -> pathlib.Path:
    """Where the converted weights of an entry are, once `fetch` has been there."""
    digest = "unverified" if entry.file.digest is None else entry.file.digest[:8]
    return cache_folder(cache_dir) / f"{entry.tag}-{digest}-v{CONVERSION}.safetensors"


def fetch(entry: manifest.Entry, convert, *, cache_dir=None, allow_unverified=False) -> pathlib.Path:
    """The converted weights of an entry: from the cache, or else the file is downloaded, verified and converted.

    A file of the right name that was put into the cache folder by hand is verified like a download, and used. Several
    processes that ask at once download once. With `HF_HUB_OFFLINE` set, nothing is requested.

    Args:
        entry: what to fetch, from `manifest.resolve`.
        convert: called as `convert(original, converted)`, with the path of the verified file and the path to write to.
        cache_dir: see `cache_folder`.
        allow_unverified: fetch a file for which no checksum was published too.

    Returns:
        The path of the converted file.

    Raises:
        ChecksumError: no checksum was published, or a file put there by hand is another one.
        DownloadError: no mirror has the file, or (as its subclass CacheError) the cache folder cannot be written.
    """
    folder, converted = cache_folder(cache_dir), converted_path(entry, cache_dir)
    original = folder / entry.file.name
    if entry.file.checksum is None and not allow_unverified:
        seen = f"; the file in the cache has sha256:{_digest(original, 'sha256')}" if original.is_file() else ""
        raise ChecksumError(
            f"expected allow_unverified=True for {entry.tag!r}, because no checksum of {entry.file.name} was published"
            f"{seen}; Received: allow_unverified={allow_unverified}"
        )
    if converted.is_file():
        return converted
    with _one_error_for_the_cache(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / f".{entry.tag}.lock"):
            # Another process may have been here in the meantime.
            if not converted.is_file():
                _obtain(entry, original)
                _convert(convert, original, converted)
    return converted


def fetch_or_fall_back(entry: manifest.Entry, convert_for, *, aux_heads=False, cache_dir=None, allow_unverified=False):
    """As `fetch`, and where every mirror is dead, the entry's second source, unless it lacks what was asked for.

    Args:
        entry: what to fetch.
        convert_for: called with the entry that is fetched in the end, gives the `convert` of `fetch`.
        aux_heads: whether the auxiliary heads are asked for.
        cache_dir: see `cache_folder`.
        allow_unverified: see `fetch`.

    Returns:
        The path of the converted file, and the entry that it is of.
    """
    options = {"cache_dir": cache_dir, "allow_unverified": allow_unverified}
    second = None if entry.fallback is None else manifest.entries()[entry.fallback]
    lacks_heads = second is not None and aux_heads and not second.aux_heads
    if second is not None and not lacks_heads and not converted_path(entry, cache_dir).is_file():
        # Converted when the first source was dead: asking it again on every load would take minutes every time.
        if converted_path(second, cache_dir).is_file():
            return _told(entry, second, fetch(second, convert_for(second), **options))
    try:
        return fetch(entry, convert_for(entry), **options), entry
    except CacheError:
        raise
    except DownloadError as error:
        if second is None:
            raise
        if lacks_heads:
            raise DownloadError(
                f"{error}\nThe second source, {second.tag!r}, has no auxiliary heads, which were asked for."
            ) from error
        try:
            path = fetch(second, convert_for(second), **options)
        except DownloadError as other:
            raise DownloadError(f"{error}\nThe second source, {second.tag!r}: {other}") from error
        return _told(entry, second, path)


def _told(entry, second, path):
    missing = ", without its auxiliary heads" if entry.aux_heads and not second.aux_heads else ""
    logger.warning("%s could not be downloaded; the weights are from %s%s", entry.tag, second.tag, missing)
    return path, second


@contextlib.contextmanager
def _one_error_for_the_cache(folder):
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        if error.errno not in _CACHE_ERRORS:
            raise
        raise CacheError(
            f"expected room and the permission to write in the cache folder {folder}; Received: {error}. "
            "The variable KERAS_INCEPTION_CACHE, or cache_dir=, names another folder"
        ) from error


def _lock(path):
    # The operating system releases this lock when its holder dies, however it dies.
    from huggingface_hub.utils import WeakFileLock

    return WeakFileLock(path)


def _convert(convert, original, converted):
    # Under the lock there is one writer, so a leftover of a killed one is simply written over.
    partial = converted.with_name(f".partial-{converted.name}")
    try:
        convert(original, partial)
        os.replace(partial, converted)
    finally:
        partial.unlink(missing_ok=True)


def _obtain(entry, original):
    """Makes sure that the verified original is in the cache folder."""
    if not original.is_file():
        _download(entry, original)
        return
    try:
        _verify(entry.file, original)
    except ChecksumError as error:
        # It may be somebody's only copy of something, so it is not deleted.
        aside = original.with_name(f"{original.name}.rejected")
        os.replace(original, aside)
        raise ChecksumError(
            f"{error}. It is now called {aside}; the next call downloads {original.name} anew"
        ) from error


def _verify(file, path):
    """Raises ChecksumError unless the file at `path` is the published one; without a checksum, says what it is."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise ChecksumError(f"expected {file.name} of {file.bytes} bytes; Received: {size} bytes")
    seen = _digest(path, file.algorithm)
    if file.digest is None:
        logger.warning("nobody published a checksum of %s; this one has sha256:%s", file.name, seen)
    elif not seen.startswith(file.digest):
        raise ChecksumError(f"expected {file.name} of {file.checksum}; Received: {file.algorithm}:{seen}")


def _digest(path, algorithm):
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _download(entry, original):
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError

    file, reasons = entry.file, []
    partial = original.with_name(f".partial-{original.name}")
    if constants.HF_HUB_OFFLINE:
        reasons.append("HF_HUB_OFFLINE is set, so nothing was requested")
    else:
        for url in file.urls:
            try:
                _from_mirror(url, file, partial)
                os.replace(partial, original)
                return
            except (HTTPError, _Refusal, ChecksumError) as error:
                reasons.append(f"{url}: {str(error) or type(error).__name__}")
                logger.info("mirror failed, %s", reasons[-1])
            except OSError:
                # A full disk, most likely; at least what was begun here shall not fill it.
                partial.unlink(missing_ok=True)
                raise
        partial.unlink(missing_ok=True)
    checksum = "none was published" if file.checksum is None else file.checksum
    raise DownloadError(
        f"could not download the weights {entry.tag!r}: put the file {file.name} (checksum: {checksum}) into the cache "
        f"folder {original.parent} by hand, and load again\n" + "\n".join(f"  {reason}" for reason in reasons)
    )


def _from_mirror(url, file, partial):
    """Downloads and verifies; takes up broken connections, and what another mirror or a killed process has left."""
    from huggingface_hub.errors import HTTPError

    for _ in range(ATTEMPTS):
        # Only a checksum can tell whether the rest fits what is there.
        start = partial.stat().st_size if partial.is_file() and file.digest is not None else 0
        try:
            if not start or start != file.bytes:
                _stream(url, file, partial, start)
            _verify(file, partial)
            return
        except HTTPError:
            if not partial.is_file() or partial.stat().st_size <= start:
                raise
        except ChecksumError:
            partial.unlink()
            # What was there before may be at fault: once more from the first byte.
            if not start:
                raise
    raise _Refusal(f"broke off {ATTEMPTS} times")


def _stream(url, file, partial, start):
    """Appends the rest of the file from byte `start` on, or writes all of it where the server sends all of it."""
    from huggingface_hub.utils import get_session, tqdm

    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
        if response.status_code == 416 and start:
            # There is nothing after `start`: the partial file is whole, or wrong, which the checksum will tell.
            return
        if response.status_code == 206 and start:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise _Refusal(f"another part than was asked for, {response.headers.get('Content-Range')!r}")
        elif response.status_code == 200:
            start = 0
        else:
            raise _Refusal(f"HTTP status {response.status_code}")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        limit = MAX_BYTES if file.bytes is None else file.bytes
        if total is not None and (total > limit or file.bytes not in (None, total)):
            raise _Refusal(f"expected {file.bytes or f'at most {limit}'} bytes; Received: an offer of {total} bytes")
        with (
            partial.open("ab" if start else "wb") as target,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=file.name, disable=None) as progress,
        ):
            for piece in response.iter_raw():
                if target.tell() + len(piece) > limit:
                    partial.unlink()
                    raise _Refusal(f"expected at most {limit} bytes; Received: more")
                target.write(piece)
                progress.update(len(piece))

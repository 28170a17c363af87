"""Logs behind a URL of any file system that fsspec knows: ``s3://``, ``gs://``, ``https://``, ...

What may be a log, or a configuration beside one, is kept as a copy in the user's cache folder, and
fetched again when its size, time or tag there has changed; then it is read as any local file. The
copies of a URL lie in ``<cache>/remote/<key>/<protocol>/<place>/...``, so that a path there says
what it is a copy of. User, password and query of a URL stand in no path and no message.
"""

import json
import os
import re
import tempfile
import warnings
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from platformdirs import user_cache_path

from tarslab.errors import BadArgument, LogNotFound, LogWarning

URL = re.compile(r"(?!file:|local:)[A-Za-z][A-Za-z0-9+.-]*://")
MAGIC = re.compile(r"[*?\[]")
MEND = 'pip install "tarslab[remote]"'

# Endings of logs and configurations; event files and all that MLflow writes have others or none.
ENDINGS = {
    *("", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".log", ".npz", ".parquet", ".pq"),
    *(".gz", ".yaml", ".yml"),
}
LARGEST_BYTES = 4_000_000_000
# Of a file without an ending only a small one is tried.
LARGEST_UNNAMED_BYTES = 64_000_000

# What file systems tell of a file that changes when the file does.
STAMPS = (
    *("size", "mtime", "modified", "created", "LastModified", "last_modified", "updated"),
    *("modify", "ETag", "etag", "md5Hash", "checksum", "generation", "sha", "blob_id"),
)
STAMPS_FILE = "stamps.json"


def is_url(text: str) -> bool:
    """Whether a path is a URL of a file system that is not this machine's own."""
    return URL.match(text) is not None


def is_glob(url: str) -> bool:
    """Whether a URL stands for all that match it; in a web address ``?`` starts the query."""
    return MAGIC.search(url) is not None and not url.lower().startswith("http")


def fetch(url: str) -> list[Path]:
    """Local copies of the folder or file that a URL names, or of each that it matches as a glob.

    Raises BadArgument where no installed package knows the protocol, LogNotFound where nothing is
    there or it cannot be reached. Warns (LogWarning) of files that cannot be copied.
    """
    public = without_secrets(url)
    files, place = _connect(url, public)
    try:
        # A listing may be remembered from an earlier call.
        files.invalidate_cache()
        found, problems = _fetch(files, url, place)
    except LogNotFound:
        raise
    except FileNotFoundError as error:
        # A web server that cannot be reached is reported so, too.
        reason = f" ({_cleaned(str(error.__cause__), url)})" if error.__cause__ else ""
        raise LogNotFound(f"{public}: no such file or folder{reason}") from None
    # Every storage has its own exceptions, and the text of some holds credentials.
    except Exception as error:
        reason = _cleaned(f"{type(error).__name__}: {error}", url)
        raise LogNotFound(
            f"{public} cannot be read: {reason}; check the address, the network, and the "
            "credentials in the environment"
        ) from None
    for problem in problems:
        warnings.warn(problem, LogWarning, stacklevel=5)
    return found


def shown(path: str | os.PathLike[str]) -> str:
    """The URL that a local copy is of; any other path as it is."""
    return shown_in(os.fspath(path))


def shown_in(text: str) -> str:
    """A message with URLs in place of the local copies that it names."""
    return re.sub(re.escape(f"{_cache()}{os.sep}") + r"[0-9a-f]{12}/([^/\s]+)/", r"\1://", text)


def without_secrets(url: str) -> str:
    """A URL without user, password and query."""
    protocol, _, rest = url.partition("://")
    if protocol.lower().startswith("http"):
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    place, slash, path = rest.partition("/")
    return f"{protocol}://{place.rpartition('@')[2]}{slash}{path}"


def _connect(url: str, public: str) -> tuple[Any, str]:
    """The file system of a URL, and the place in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise BadArgument(f"{public}: reading a URL needs fsspec; {MEND}") from None
    try:
        files, place = url_to_fs(url)
    except ImportError as error:
        raise BadArgument(f"{public}: {_cleaned(str(error), url)}; {MEND}") from None
    except ValueError as error:
        raise BadArgument(
            f"{public}: {_cleaned(str(error), url)}; s3://, gs://, https:// and the other "
            f"protocols of fsspec can be read, with {MEND}"
        ) from None
    return files, str(place)


def _fetch(files: Any, url: str, place: str) -> tuple[list[Path], list[str]]:
    """The copies of all that is matched, and what could not be copied."""
    public = without_secrets(url)
    key, root = _folder_of(url)
    matched, base = [place], place
    if is_glob(url):
        depth = _depth_of_magic(place)
        base = "/".join(place.split("/")[:depth])
        root = key.joinpath(*root.relative_to(key).parts[: depth - len(place.split("/"))])
        matched = files.glob(place)
    found: dict[str, dict[str, Any]] = {}
    for one in matched:
        found |= _files_below(files, one)
    copies: dict[Path, str] = {}
    problems = []
    for name, info in found.items():
        inside = name.removeprefix(base).strip("/")
        if name not in matched and not _may_be_a_log(inside, info):
            continue
        if (info.get("size") or 0) > LARGEST_BYTES:
            problems.append(f"{public}: {inside} has {info['size']} bytes; left out")
        else:
            copies[root / inside] = name
    if not copies:
        kinds = sorted({PurePosixPath(name).suffix or "no ending" for name in found})
        raise LogNotFound(
            f"no training logs in {public}: saw {len(found)} files"
            + (f" ({', '.join(kinds[:8])})" if kinds else "")
        )
    problems += _update(files, key, copies, found)
    places = [root / one.removeprefix(base).strip("/") for one in matched]
    return [copy for copy in places if copy.exists()], problems


def _folder_of(url: str) -> tuple[Path, Path]:
    """The folder of all copies for a URL, and in it the one that the URL itself is copied to."""
    public = without_secrets(url)
    protocol, _, rest = public.partition("://")
    query = url.partition("?")[2] if public != url else ""
    key = _cache() / sha256(f"{public}?{query}".encode()).hexdigest()[:12]
    return key, key.joinpath(protocol, *(part for part in rest.split("/") if part))


def _depth_of_magic(place: str) -> int:
    return next(n for n, part in enumerate(place.split("/")) if MAGIC.search(part))


def _files_below(files: Any, place: str) -> dict[str, dict[str, Any]]:
    """What is said of each file below a place, or of the file there."""
    if place.startswith("http"):
        # A web server has no folders, but pages that list files.
        is_folder = place.endswith("/")
    else:
        is_folder = files.info(place)["type"] == "directory"
    if not is_folder:
        return {place: files.info(place)}
    return {
        name: info
        for name, info in files.find(place, detail=True).items()
        if info.get("type") != "directory" and not name.endswith("/")
    }


def _may_be_a_log(inside: str, info: Mapping[str, Any]) -> bool:
    """By the name below the folder that was asked for, and the size."""
    path = PurePosixPath(inside)
    if any(part.startswith(".") for part in path.parts):
        # Hidden; and what would lead out of the folder of the copies.
        return False
    if path.suffix not in ENDINGS and "tfevents" not in path.name:
        return False
    named = path.suffix != "" or "tfevents" in path.name
    return bool(named or (info.get("size") or 0) <= LARGEST_UNNAMED_BYTES)


def _update(
    files: Any, key: Path, copies: Mapping[Path, str], found: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Bring the copies up to date, and remove those of files that are gone; say what failed."""
    stamps_file = key / STAMPS_FILE
    try:
        known = json.loads(stamps_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    stamps = {name: _stamp(files, name, found[name]) for name in copies.values()}
    stale = {
        copy: name
        for copy, name in copies.items()
        if not copy.is_file() or stamps[name] is None or known.get(name) != stamps[name]
    }
    for old in [path for path in key.glob("*/**/*") if path.is_file()]:
        if old not in copies:
            old.unlink()
    key.mkdir(parents=True, exist_ok=True)
    problems = _download(files, key, stale) if stale else []
    with tempfile.NamedTemporaryFile("w", dir=key, delete=False, encoding="utf-8") as file:
        json.dump({name: stamp for name, stamp in stamps.items() if stamp is not None}, file)
    os.replace(file.name, stamps_file)
    return problems


def _download(files: Any, key: Path, stale: Mapping[Path, str]) -> list[str]:
    from fsspec.callbacks import TqdmCallback

    progress = TqdmCallback(tqdm_kwargs={"desc": "Fetching logs", "delay": 2, "leave": False})
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        fresh = [os.path.join(folder, str(number)) for number in range(len(stale))]
        files.get(list(stale.values()), fresh, callback=progress)
        problems = []
        for copy, file in zip(stale, fresh, strict=True):
            try:
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, copy)
            except OSError as error:
                # Of a bucket's keys one may go on where another ends.
                problems.append(f"{shown(copy)}: cannot be copied ({error.strerror}); left out")
        return problems


def _stamp(files: Any, name: str, info: Mapping[str, Any]) -> str | None:
    """What changes with a file, as far as its storage says; None where it says nothing."""
    told = {key: str(info[key]) for key in STAMPS if info.get(key) is not None}
    if not told:
        info = files.info(name)
        told = {key: str(info[key]) for key in STAMPS if info.get(key) is not None}
    # A size alone may stay the same.
    return json.dumps(told, sort_keys=True) if len(told) > 1 else None


def _cleaned(reason: str, url: str) -> str:
    """A reason without what a URL says in confidence."""
    reason = reason.replace(url, without_secrets(url))
    reason = re.sub(r"//[^/@\s]+@", "//", reason)
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", " ".join(reason.split()))


def _cache() -> Path:
    return user_cache_path("tarslab") / "remote"

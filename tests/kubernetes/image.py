"""``python -m tests.kubernetes.image <tar>``: the image of the services, without a registry.

A ``docker-archive`` of two layers: this environment's Python with what the services need of their
locked dependencies, kept in ``build/kubernetes`` for as long as the lock stays the same; and
tarslab's wheel. It stands for the Containerfile's where nothing can be pulled.
"""

import compileall
import hashlib
import io
import json
import os
import platform
import py_compile
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "kubernetes"
LOCK = ROOT / "tarslab" / "stack" / "kubernetes" / "requirements.lock"
NAME = "docker.io/local/tarslab:test"

PACKAGES = "opt/tarslab"
STDLIB = f"usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}"
BUSYBOX = Path("/bin/busybox")
# What the chaos platform runs in a container, and a pod before it ends.
COMMANDS = ("sh", "readlink", "sed", "sleep", "cat", "ls")
# Folders that no service opens: two thirds of the files.
UNUSED = {"tests", "test", "idlelib", "ensurepip", "tkinter", "lib2to3", "turtledemo", "include"}

Entry = tuple[str, Path | str]
"""A path in the image, and the file to copy there, or ``-> target`` of a symbolic link."""


def main() -> None:
    """Write the image."""
    out = Path(sys.argv[1])
    KEPT.mkdir(parents=True, exist_ok=True)
    base = _base()
    with tempfile.TemporaryDirectory() as folder:
        wheel = _wheel(Path(folder))
        top = Path(folder) / "tarslab.tar"
        _layer(top, ((f"{PACKAGES}/{path.relative_to(wheel)}", path) for path in _files(wheel)))
        _archive(out, [base, top])
    print(f"{NAME}: {out} ({out.stat().st_size / 1e6:.0f} MB)")


def _base() -> Path:
    """The layer of Python and the dependencies."""
    told = [platform.python_version(), LOCK.read_text(), Path(__file__).read_text()]
    kept = KEPT / f"base-{hashlib.sha256(chr(0).join(told).encode()).hexdigest()[:16]}.tar"
    if not kept.exists():
        for old in KEPT.glob("base-*.tar"):
            old.unlink()
        entries = [*_python(), *_dependencies()]
        made = kept.with_suffix(".new")
        _layer(made, [*entries, *_libraries(entries), *_shell()])
        made.rename(kept)
    return kept


def _python() -> Iterator[Entry]:
    """The interpreter and its standard library."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    for path in _files(stdlib, "site-packages", "dist-packages", "config-*"):
        yield f"{STDLIB}/{path.relative_to(stdlib)}", path
    yield "usr/local/bin/python", Path(sys.executable).resolve()
    yield "usr/local/bin/python3", "-> python"


def _dependencies() -> Iterator[Entry]:
    """The files of what is locked for the services, as they are installed here."""
    for line in LOCK.read_text().splitlines():
        if "==" not in line:
            continue
        locked = Requirement(line.rstrip(" \\"))
        if locked.marker is not None and not locked.marker.evaluate():
            continue
        found = distribution(locked.name)
        if found.version not in locked.specifier:
            sys.exit(f"{locked.name} {found.version} is installed, and {locked} is locked")
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            if ".." not in file.parts and not UNUSED & set(file.parts) and path.is_file():
                yield f"{PACKAGES}/{file}", path


def _libraries(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The shared libraries that the binaries among the files load from elsewhere on this system."""
    files = [path for _, path in entries if isinstance(path, Path)]
    binaries = [str(path) for path in files if path.open("rb").read(4) == b"\x7fELF"]
    inside = {path.resolve() for path in files}
    told = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    libraries = {Path(path) for path in re.findall(r"(/\S+) \(0x", told)}
    (libc,) = (path.parent for path in libraries if path.name.startswith("libc.so"))
    for path in sorted(libraries):
        if path.name.startswith("ld-linux"):
            yield str(path)[1:], path.resolve()
        elif path.resolve() not in inside:
            yield f"{str(libc)[1:]}/{path.name}", path.resolve()


def _shell() -> Iterator[Entry]:
    yield "bin/busybox", BUSYBOX
    yield from ((f"bin/{command}", "-> busybox") for command in COMMANDS)


def _wheel(folder: Path) -> Path:
    """The wheel, unpacked and compiled."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    unpacked = folder / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    # By contents: the times of the files do not survive the unpacking of the image.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(unpacked, stripdir=str(unpacked), quiet=1, invalidation_mode=mode)
    return unpacked


def _files(folder: Path, *without: str) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        left = [each for each in folders if not any(Path(each).match(one) for one in without)]
        folders[:] = sorted(set(left) - UNUSED)
        yield from (Path(here) / name for name in sorted(names))


def _layer(out: Path, entries: Iterable[Entry]) -> None:
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as layer:
        made: set[str] = set()
        for name, source in sorted(entries, key=lambda entry: entry[0]):
            for parent in [*Path(name).parents][-2::-1]:
                if str(parent) not in made:
                    made.add(str(parent))
                    layer.addfile(_member(str(parent), 0o755, type=tarfile.DIRTYPE))
            if isinstance(source, str):
                target = source.removeprefix("-> ")
                layer.addfile(_member(name, 0o777, type=tarfile.SYMTYPE, linkname=target))
                continue
            status = source.stat()
            mode = 0o755 if status.st_mode & 0o111 else 0o644
            member = _member(name, mode, size=status.st_size, mtime=int(status.st_mtime))
            with source.open("rb") as file:
                layer.addfile(member, file)


def _archive(out: Path, layers: list[Path]) -> None:
    digests = [_digest(layer) for layer in layers]
    about = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/bin:/bin", f"PYTHONPATH=/{PACKAGES}", "LANG=C.UTF-8"],
            "WorkingDir": "/",
            "User": "10001",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created_by": "tests.kubernetes.image"} for _ in layers],
        "created": "1970-01-01T00:00:00Z",
    }
    config = json.dumps(about).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{digest}.tar" for digest in digests]
    manifest = json.dumps([{"Config": name, "RepoTags": [NAME], "Layers": names}]).encode()
    made = out.with_suffix(".new")
    with tarfile.open(made, "w", format=tarfile.GNU_FORMAT) as archive:
        for of, data in ((name, config), ("manifest.json", manifest)):
            archive.addfile(_member(of, 0o644, size=len(data)), io.BytesIO(data))
        for of, layer in zip(names, layers, strict=True):
            with layer.open("rb") as file:
                archive.addfile(_member(of, 0o644, size=layer.stat().st_size), file)
    made.rename(out)


def _member(name: str, mode: int, **more: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = mode
    for attribute, value in more.items():
        setattr(member, attribute, value)
    return member


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()

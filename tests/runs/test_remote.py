"""Logs behind URLs."""

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning
from tarslab.runs import fingerprint, remote

fsspec = pytest.importorskip("fsspec")

PROGRESS = "time/total_timesteps,rollout/ep_rew_mean\n100,1.0\n200,2.0\n"


class Bucket:
    """A folder of the file system in memory."""

    def __init__(self) -> None:
        self.files = fsspec.filesystem("memory")

    def put(self, path: str, text: str | bytes = PROGRESS) -> None:
        self.files.pipe_file(f"/bucket/{path}", text.encode() if isinstance(text, str) else text)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.files.store.clear()
    made.files.pseudo_dirs[:] = [""]


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all that is downloaded."""
    seen: list[str] = []
    really = remote._download

    def download(files, key, stale):
        seen.extend(Path(name).name for name in stale.values())
        return really(files, key, stale)

    monkeypatch.setattr(remote, "_download", download)
    return seen


def copies(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file())


def test_a_folder_behind_a_url_is_read_as_one_here(bucket: Bucket) -> None:
    for seed in range(2):
        bucket.put(f"runs/ppo/seed_{seed}/progress.csv")
        bucket.put(f"runs/ppo/seed_{seed}/config.json", json.dumps({"env": "CartPole-v1"}))
    runs = tl.load("memory://bucket/runs")
    assert runs.names == ["ppo/seed_0", "ppo/seed_1"]
    assert runs.metrics == ["reward"]
    assert set(runs.table["env"]) == {"CartPole-v1"}


def test_a_file_and_a_glob_behind_a_url(bucket: Bucket) -> None:
    bucket.put("a/progress.csv")
    bucket.put("b/progress.csv")
    bucket.put("b/notes.txt", "no log\n")
    assert len(tl.load("memory://bucket/a/progress.csv")) == 1
    assert tl.load("memory://bucket/*/progress.csv").names == ["a", "b"]
    assert tl.load("memory://bucket/b*").names == ["b"]
    with pytest.raises(BadLog, match=r"memory://bucket/b/notes.txt: not a log"):
        tl.load("memory://bucket/b/notes.txt")


def test_urls_and_folders_can_be_read_together(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("far/progress.csv")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "progress.csv").write_text(PROGRESS)
    assert len(tl.load(["memory://bucket/far", tmp_path / "near"])) == 2
    assert len(tl.load(f"file://{tmp_path}/near")) == 1


def test_only_what_may_be_a_log_is_copied(bucket: Bucket, tmp_path: Path) -> None:
    names = ["progress.csv", "events.out.tfevents.1.host", "model.zip", "video.mp4", "policy.pth"]
    for name in [*names, ".hidden.csv", "mlruns/0/abc/metrics/reward"]:
        bucket.put(name)
    remote.fetch("memory://bucket")
    kept = ["events.out.tfevents.1.host", "progress.csv", "reward", remote.STAMPS_FILE]
    assert copies(tmp_path) == kept


def test_a_name_that_leads_out_of_the_folder_is_not_followed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("progress.csv")
    found = bucket.files.find("/bucket", detail=True)
    outside = {"/bucket/../../../evil.csv": {**found["/bucket/progress.csv"]}}
    monkeypatch.setattr(type(bucket.files), "find", lambda *_, **__: found | outside)
    remote.fetch("memory://bucket")
    assert "evil.csv" not in copies(tmp_path)


def test_what_has_not_changed_is_not_fetched_again(bucket: Bucket, downloads: list[str]) -> None:
    bucket.put("a/progress.csv")
    bucket.put("b/progress.csv")
    first = fingerprint("memory://bucket")
    assert len(downloads) == 2
    assert fingerprint("memory://bucket") == first
    assert len(downloads) == 2
    bucket.put("b/progress.csv", PROGRESS + "300,3.0\n")
    assert fingerprint("memory://bucket") != first
    assert len(downloads) == 3
    assert tl.load("memory://bucket/b").table["points"].tolist() == [3]


def test_what_is_gone_there_is_gone_here(bucket: Bucket) -> None:
    bucket.put("a/progress.csv")
    bucket.put("b/progress.csv")
    assert len(tl.load("memory://bucket")) == 2
    bucket.files.rm("/bucket/a", recursive=True)
    assert tl.load("memory://bucket").names == ["b"]


def test_a_copy_that_was_lost_is_fetched_again(bucket: Bucket) -> None:
    bucket.put("progress.csv")
    (folder,) = remote.fetch("memory://bucket")
    (folder / "progress.csv").unlink()
    (folder.parents[1] / remote.STAMPS_FILE).write_text("{")
    assert len(tl.load("memory://bucket")) == 1


def test_a_key_that_goes_on_where_another_ends_costs_only_one_of_them(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("progress.csv")
    found = bucket.files.find("/bucket", detail=True)
    below = {"/bucket/progress.csv/below.csv": {**found["/bucket/progress.csv"], "created": "x"}}
    monkeypatch.setattr(type(bucket.files), "find", lambda *_, **__: found | below)

    def get(_: object, names: list[str], paths: list[str], **__: object) -> None:
        for path in paths:
            Path(path).touch()

    monkeypatch.setattr(type(bucket.files), "get", get)
    with pytest.warns(LogWarning, match="cannot be copied"):
        remote.fetch("memory://bucket")


def test_a_file_of_absurd_size_is_left_out_with_a_word(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a.csv")
    bucket.put("b.csv", PROGRESS * 100)
    monkeypatch.setattr(remote, "LARGEST_BYTES", 1000)
    with pytest.warns(LogWarning, match=r"b.csv has \d+ bytes; left out"):
        (folder,) = remote.fetch("memory://bucket")
    assert [path.name for path in folder.iterdir()] == ["a.csv"]


def test_a_copy_is_shown_as_what_it_is_a_copy_of(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("runs/a/progress.csv")
    (folder,) = remote.fetch("memory://bucket/runs")
    assert remote.shown(folder / "a") == "memory://bucket/runs/a"
    assert remote.shown_in(f"{folder}/a/x.csv: cut") == "memory://bucket/runs/a/x.csv: cut"
    assert remote.shown(tmp_path / "a") == str(tmp_path / "a")


def test_nothing_there_is_said_without_the_cache(bucket: Bucket) -> None:
    with pytest.raises(LogNotFound, match="memory://bucket/none: no such file or folder"):
        tl.load("memory://bucket/none")
    bucket.put("runs/model.zip")
    with pytest.raises(
        LogNotFound, match=r"no training logs in memory://bucket: saw 1 files \(.zip"
    ):
        tl.load("memory://bucket")
    bucket.put("runs/notes.txt", "hello\n")
    with pytest.raises(LogNotFound, match="no training logs in memory://bucket: looked for"):
        tl.load("memory://bucket")


def test_an_unknown_protocol_and_a_missing_package_name_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadArgument, match=r"nonsense://x: Protocol not known.*tarslab\[remote\]"):
        tl.load("nonsense://x")
    known = sys.modules["fsspec.registry"].known_implementations
    monkeypatch.setitem(known, "far", {"class": "far_away.Files"})
    with pytest.raises(BadArgument, match=r"far://x: .*pip install \"tarslab\[remote\]\""):
        tl.load("far://x")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(BadArgument, match=r"needs fsspec; pip install \"tarslab\[remote\]\""):
        tl.load("memory://bucket")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("ftp://me:secret@host/runs", "ftp://host/runs"),
        ("https://me:secret@host/a.csv?token=secret#x", "https://host/a.csv"),
        ("https://host", "https://host"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, public: str) -> None:
    assert remote.without_secrets(url) == public


def test_no_secret_of_a_url_is_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Talkative(type(fsspec.filesystem("memory"))):  # type: ignore[misc]
        protocol = "talkative"

        def info(self, path: str, **_: object) -> dict[str, object]:
            raise RuntimeError("GET https://me:secret@host/a.csv?token=secret failed")

    fsspec.register_implementation("talkative", Talkative, clobber=True)
    with pytest.raises(LogNotFound) as caught:
        tl.load("talkative://me:secret@host/a.csv")
    assert "secret" not in str(caught.value)
    assert "RuntimeError: GET https://host/a.csv failed" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server for the folder ``tmp_path/web``."""
    pytest.importorskip("aiohttp")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "web").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_file_and_a_page_of_links_on_the_web(server: str, tmp_path: Path) -> None:
    (tmp_path / "web" / "run").mkdir()
    (tmp_path / "web" / "run" / "progress.csv").write_text(PROGRESS)
    assert tl.load(f"{server}/run/progress.csv?token=secret").metrics == ["reward"]
    assert tl.load(f"{server}/").names == ["run"]
    assert not [path for path in (tmp_path / "cache").rglob("*") if "secret" in path.name]
    with pytest.raises(LogNotFound, match=r"/none.csv: no such file"):
        tl.load(f"{server}/none.csv")

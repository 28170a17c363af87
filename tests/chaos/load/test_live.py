"""A run as it goes on."""

import io

import pytest
from rich.console import Console

from tarslab.chaos.load import Progress, live
from tarslab.chaos.load.evaluation import Outcome
from tarslab.chaos.load.live import Notebook, Terminal, _page

PROGRESS = Progress(
    name="sustained",
    elapsed=5,
    duration=10,
    users=3,
    requests=200,
    rate=40,
    failed=10,
    dropped=2,
    p50=5,
    p95=80,
    p99=90,
    thresholds=(
        ("http_req_duration: p(95)<50", Outcome(80, False, False)),
        ("http_req_failed: rate<0.1", Outcome(0.05, True, True)),
    ),
)


def test_a_line_says_how_it_stands_and_what_is_broken() -> None:
    assert str(PROGRESS) == (
        "40/s, 3 users, 200 requests, 5.0% failed, P95 80 ms, 2 dropped; "
        "broken: http_req_duration: p(95)<50"
    )


def test_outside_of_a_notebook_it_is_a_bar_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show = live()
    assert isinstance(show, Terminal)
    show(PROGRESS)
    show(PROGRESS._replace(elapsed=10, over=True))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "sustained" in shown.err


def test_in_a_notebook_it_is_one_output_that_changes(capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        with pytest.MonkeyPatch.context() as patch:
            published: list[tuple[dict[str, str], bool]] = []
            patch.setattr(
                shell.display_pub,
                "publish",
                lambda data, metadata=None, *, update=False, **_: published.append((data, update)),
            )
            patch.setattr(shell, "kernel", object(), raising=False)
            show = live()
            assert isinstance(show, Notebook)
            show(PROGRESS)
            show(PROGRESS._replace(elapsed=10, over=True))
        assert [update for _, update in published] == [False, True]
        assert "<b>broken</b>" in published[1][0]["text/html"]
    finally:
        InteractiveShell.clear_instance()


def test_what_is_shown_is_text() -> None:
    console = Console(file=io.StringIO())
    console.print(_page(PROGRESS._replace(name="<script>")), markup=False)
    assert "<script>" not in _page(PROGRESS._replace(name="<script>"))
    assert "p(95)&lt;50" in _page(PROGRESS)

"""From notebooks to pages, with real kernels."""

import re
from pathlib import Path

import nbformat
import pytest

from tarslab.errors import BadArgument
from tarslab.reports import Progress, build, execute, normalise

CHART = (
    "import tarslab as tl\n"
    "from tarslab.runs import Run, Runs, Series\n"
    "runs = Runs.of([Run('a', {'reward': Series.of([0, 1, 2], [0, 1, 2], [1, scale, 2])})])\n"
    "tl.charts.reward_curve(runs)"
)


def without_times(page: str) -> str:
    return re.sub(r'class="[^"]*times"[^<]*', "", page)


def test_the_same_inputs_give_the_same_bytes_apart_from_the_stated_times(
    write_notebook, tmp_path: Path
) -> None:
    dashboard = "tl.dashboards.training(runs)"
    notebook = write_notebook("n", CHART, dashboard, parameters="scale: float = 5.0  # height")
    for out in ("one", "two"):
        (report,) = build([notebook], tmp_path / out, {"scale": 7.5})
        assert report.error is None
    first, second = (tmp_path / out / "n.ipynb" for out in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    for name in ("n.html", "index.html"):
        pages = [(tmp_path / out / name).read_text() for out in ("one", "two")]
        assert without_times(pages[0]) == without_times(pages[1])


def test_a_warning_about_a_log_is_the_same_bytes_too(write_notebook, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "monitor.csv"
    log.parent.mkdir()
    log.write_text('#{"t_start": 0}\nr,l,t\n1,2,3\n4,5')
    notebook = write_notebook("n", f"import tarslab as tl\ntl.load({str(log)!r})")
    for out in ("one", "two"):
        build([notebook], tmp_path / out)
    first, second = ((tmp_path / out / "n.ipynb").read_text() for out in ("one", "two"))
    assert "cut off" in first
    assert first == second


def test_the_data_behind_a_glob_or_a_list_is_stated(write_notebook, tmp_path: Path) -> None:
    for run in "ab":
        (tmp_path / run).mkdir()
        (tmp_path / run / "monitor.csv").write_text('#{"t_start": 0}\nr,l,t\n1,2,3\n')
    cell = "logs: str = ''\nmore: list = []\nname: str = 'x'"
    notebook = write_notebook("n", parameters=cell)
    given = {"logs": f"{tmp_path}/[ab]", "more": ["bundled:poker"], "name": "x" * 300}
    (report,) = build([notebook], tmp_path / "out", given)
    assert report.error is None
    page = (tmp_path / "out" / "n.html").read_text()
    assert page.count("<th>data</th>") == 2


def test_a_notebook_without_a_kernel_name_runs_all_the_same(write_notebook, tmp_path) -> None:
    path = write_notebook("n", "1 + 1", parameters="x: int = 1")
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata["kernelspec"]
    nbformat.write(notebook, path)
    (report,) = build([path], tmp_path / "out", {"x": 2})
    assert report.error is None


def test_a_page_states_parameters_data_versions_and_time_and_loads_nothing(
    write_notebook, tmp_path: Path
) -> None:
    cell = 'log_dir: str = "bundled:poker"  # folder of logs\nscale: float = 5.0'
    notebook = write_notebook("n", CHART, parameters=cell, opening="# T\n\nHow is $x^2$?")
    build([notebook], tmp_path / "out", {"scale": 3.0})
    page = (tmp_path / "out" / "n.html").read_text()
    assert re.search(r"<th>scale</th><td><code>3\.0</code>", page)
    assert re.search(r"<th>log_dir</th><td><code>.*bundled:poker.*folder of logs", page)
    assert re.search(r"<th>data</th><td><code>bundled:poker</code>.*<code>[0-9a-f]{64}<", page)
    assert re.search(r"python 3\.\d+\.\d+, tarslab \d", page)
    assert re.search(r'class="times"[^>]*>20\d\d-\d\d-\d\d \d\d:\d\d UTC, in [\d.]+ s', page)
    assert "<math" in page
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert str(tmp_path) not in page


def test_one_failing_notebook_does_not_stop_the_others_and_the_index_names_it(
    write_notebook, tmp_path: Path
) -> None:
    good = write_notebook("good", "1 + 1")
    bad = write_notebook("bad", "'before'", "raise ValueError('<the reason>')", "'after'")
    steps: list[Progress] = []
    reports = build([bad, good], tmp_path / "out", on_progress=steps.append)
    assert [report.error is None for report in reports] == [False, True]
    index = (tmp_path / "out" / "index.html").read_text()
    assert "1 failed" in index
    assert "ValueError: &lt;the reason&gt;" in index
    page = (tmp_path / "out" / "bad.html").read_text()
    assert "This notebook stopped" in page
    assert "before" in page
    assert "    raise ValueError" in str(reports[0].error)
    assert "papermill" not in page.lower()
    assert {step.notebook for step in steps if step.finished} == {good, bad}


def test_a_page_that_cannot_be_made_does_not_cost_the_others(
    write_notebook, tmp_path: Path, monkeypatch
) -> None:
    def page(notebook, title, provenance, times, error):
        if any("odd" in cell.source for cell in notebook.cells):
            raise KeyError("an output that nobody thought of")
        return f"{title}: {error}"

    monkeypatch.setattr("tarslab.reports.building.page", page)
    bad, good = write_notebook("bad", "'odd'"), write_notebook("good", "1 + 1")
    reports = build([bad, good], tmp_path / "out")
    assert "bad.ipynb: its page could not be made: KeyError" in str(reports[0].error)
    assert reports[1].error is None
    assert "could not be made" in (tmp_path / "out" / "bad.html").read_text()
    assert "1 failed" in (tmp_path / "out" / "index.html").read_text()


def test_unknown_parameters_are_refused_before_anything_runs(
    write_notebook, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    notebook = write_notebook("n", f"open({str(marker)!r}, 'w')", parameters="window: int = 1")
    with pytest.raises(BadArgument, match="no parameter windows"):
        build([notebook], tmp_path / "out", {"windows": 1})
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


def test_two_notebooks_of_one_name_are_refused(write_notebook, tmp_path: Path) -> None:
    notebook = write_notebook("n")
    with pytest.raises(BadArgument, match="two notebooks are named n"):
        build([notebook, notebook], tmp_path / "out")


def test_a_cell_that_hangs_is_stopped(write_notebook) -> None:
    notebook = write_notebook("n", "import threading; threading.Event().wait()")
    execution = execute(notebook, {}, timeout=2)
    assert "longer than 2 s" in str(execution.error)


def test_many_cells_that_are_slow_together_are_stopped(write_notebook) -> None:
    wait = "import threading; threading.Event().wait(2)"
    execution = execute(write_notebook("n", *[wait] * 5), {}, timeout=5)
    assert "longer than 5 s" in str(execution.error)


def test_a_kernel_that_dies_is_named(write_notebook) -> None:
    notebook = write_notebook("n", "import os; os._exit(1)")
    execution = execute(notebook, {}, timeout=60)
    assert "kernel died" in str(execution.error)


def test_output_widgets_that_show_large_bundles_do_not_hang(write_notebook) -> None:
    notebook = write_notebook(
        "n",
        "import ipywidgets as w\n"
        "from IPython.display import HTML, display\n"
        "out = w.Output()\n"
        "def show(change):\n"
        "    with out:\n"
        "        out.clear_output()\n"
        "        display(HTML('x' * 1_000_000))\n"
        "slider = w.IntSlider()\n"
        "slider.observe(show, names='value')\n"
        "display(slider, out)",
        "for value in range(1, 6):\n    slider.value = value",
    )
    assert execute(notebook, {}, timeout=60).error is None


def test_normalising_drops_times_paths_and_widget_state_and_keeps_the_rest() -> None:
    cell = nbformat.v4.new_code_cell("1", metadata={"tags": ["t"], "papermill": {"duration": 1}})
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "W"}
    only = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}}
    cell.outputs = [nbformat.v4.new_output("display_data", data=data) for data in (view, only)]
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"widgets": {"state": 1}, "papermill": {"path": "/home"}}
    )
    clean = normalise(notebook)
    assert sorted(clean.metadata) == ["kernelspec", "language_info"]
    assert (clean.cells[0].id, clean.cells[0].metadata) == ("cell-0", {"tags": ["t"]})
    assert clean.cells[0].outputs[0].data == {"text/plain": "W"}
    assert clean.cells[0].outputs[1].data == only
    assert notebook.metadata["papermill"] == {"path": "/home"}

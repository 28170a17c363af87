"""The bundled recordings and notebooks as files."""

import json

import nbformat
import pytest

from tarslab import bundled

DATA = bundled.root() / "data"
NOTEBOOKS = bundled.notebooks()


def test_the_recordings_are_under_15_megabytes() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 15_000_000


def test_every_recorded_run_has_its_configuration() -> None:
    folders = {path.parent for path in DATA.rglob("events.out.tfevents.*")}
    assert len(folders) == 26
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        assert config["algo"] == (folder.parent if "seed" in config else folder).name


def test_no_recording_carries_the_name_of_the_machine_that_made_it() -> None:
    assert {path.name for path in DATA.rglob("*tfevents*")} == {"events.out.tfevents.0"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_tell_a_story_with_parameters_and_no_logic(path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = notebook.cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    assert "?" in cells[0].source
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    code = [cell for cell in cells if cell.cell_type == "code"]
    prose = [cell for cell in cells if cell.cell_type == "markdown"]
    assert len(prose) >= len(code) - 1
    for cell in code:
        assert not any(word in cell.source for word in ("def ", "for ", "if ", "lambda"))
        assert all(output.output_type != "error" for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_normalised(path) -> None:
    from tarslab.reports import normalise

    notebook = nbformat.read(path, as_version=4)
    assert normalise(notebook) == notebook

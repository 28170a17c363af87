"""What the documents show is what the code does."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.charts import offline

ROOT = Path(__file__).parents[1]


EXAMPLES = ("README", "docs/quickstart", "docs/statistics", "docs/automl", "docs/admin-api")


@pytest.mark.parametrize("document", [f"{name}.md" for name in EXAMPLES])
def test_an_example_prints_what_the_document_says(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a clone, which it may write into.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    text = (ROOT / document).read_text()
    code, output = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == output


def test_the_picture_in_the_readme_is_that_of_the_notebook() -> None:
    runs = tl.load("bundled:cartpole")
    chart = tl.charts.reward_curve(runs, by="algo", window=10, target=475)
    picture = ROOT / "docs" / "images" / "training_curves.svg"
    assert picture.read_text() == offline.svg(chart.to_dict())


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"

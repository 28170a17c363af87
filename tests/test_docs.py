"""What the README shows is what the code does."""

import contextlib
import io
import re
from pathlib import Path

import tarslab as tl
from tarslab.charts import offline

ROOT = Path(__file__).parents[1]


def test_the_example_in_the_readme_prints_what_it_says() -> None:
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (output,) = re.findall(r"```text\n(.*?)```", readme, re.DOTALL)
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

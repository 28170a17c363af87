"""Executed notebooks without anything that differs from one run to the next."""

import copy
import re

from nbformat import NotebookNode

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PAPERMILL_ERROR_TAGS = {"papermill-error-cell-tag", "papermill-error-cell"}
# The file that ipykernel names for a cell, which holds the kernel's process number.
KERNEL_FILE = re.compile(r"\S*ipykernel_\d+[/\\]\d+\.py")
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy that is the same, byte for byte, for every run with the same inputs.

    Times and paths are dropped, cells numbered. A widget without its kernel shows nothing, so its
    view is dropped where the output has another form, and the widgets' state with it.
    """
    clean = copy.deepcopy(notebook)
    clean.metadata = NotebookNode(
        kernelspec=NotebookNode(KERNELSPEC), language_info=NotebookNode(name="python")
    )
    if "title" in notebook.metadata:
        clean.metadata["title"] = notebook.metadata["title"]
    clean.cells = [
        cell
        for cell in clean.cells
        if not PAPERMILL_ERROR_TAGS & set(cell.metadata.get("tags", []))
    ]
    for number, cell in enumerate(clean.cells):
        cell["id"] = f"cell-{number}"
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = KERNEL_FILE.sub("<cell>", output["text"])
            if "traceback" in output:
                output["traceback"] = [KERNEL_FILE.sub("<cell>", t) for t in output["traceback"]]
            data = output.get("data", {})
            if len(data) > 1:
                data.pop(WIDGET_VIEW, None)
            if "metadata" in output:
                output["metadata"] = NotebookNode()
    return clean

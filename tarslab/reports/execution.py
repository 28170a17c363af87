"""Running one notebook headless."""

import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode
from papermill import execute_notebook
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from tarslab.errors import NotebookFailed

KERNEL = "python3"


class Execution(NamedTuple):
    """What came of running a notebook."""

    notebook: NotebookNode
    """With the outputs so far, where it failed."""
    seconds: float
    error: NotebookFailed | None


def execute(
    notebook: Path,
    parameters: Mapping[str, Any],
    *,
    timeout: float,
    on_cell: Callable[[], None] = lambda: None,
) -> Execution:
    """Run a notebook in a new kernel with papermill.

    ``timeout`` is in seconds for the whole notebook; ``on_cell`` is called after each cell. A
    notebook that fails, hangs or kills its kernel raises nothing: the Execution holds the error.
    """
    started = time.perf_counter()
    error = None
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, notebook.name)
        try:
            execute_notebook(
                str(notebook.resolve()),
                str(output),
                parameters=dict(parameters),
                engine_name=_Engine.NAME,
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                execution_timeout=timeout,
                on_cell=on_cell,
            )
        except PapermillExecutionError as failure:
            error = NotebookFailed(
                f"{notebook.name}, cell {failure.exec_count}: {failure.ename}: {failure.evalue}\n"
                + indent(failure.source, "    ")
            )
        except CellTimeoutError:
            error = NotebookFailed(
                f"{notebook.name} ran longer than {timeout:g} s and was stopped; "
                "a longer --timeout may be needed"
            )
        except DeadKernelError:
            error = NotebookFailed(f"{notebook.name}: the kernel died (out of memory?)")
        except NoSuchKernel:
            error = NotebookFailed(
                f"{notebook.name}: no Jupyter kernel {KERNEL!r} here; install ipykernel"
            )
        except (RuntimeError, OSError) as failure:
            error = NotebookFailed(f"{notebook.name} could not be run: {failure}")
        executed = nbformat.read(output if output.exists() else notebook, as_version=4)
    return Execution(executed, time.perf_counter() - started, error)


def stop_all() -> None:
    """Kill the kernel of every notebook that runs now; its execution ends with an error."""
    for client in list(_running):
        pid = client.km.provisioner.pid if client.km and client.km.provisioner else None
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class _SilentOutput(OutputWidget):
    """Output widgets echo their state back to the kernel, which can wait for it for good."""

    def sync_state(self) -> None:
        pass


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _SilentOutput}}


class _Engine(NBClientEngine):  # type: ignore[misc]
    """papermill's engine, with word of every finished cell and no progress bars in outputs."""

    NAME = "tarslab"

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        on_cell: Callable[[], None] = lambda: None,
        **_: Any,
    ) -> Any:
        finish_cell = nb_man.cell_complete

        def finish_and_tell(*args: Any, **kwargs: Any) -> None:
            finish_cell(*args, **kwargs)
            on_cell()

        nb_man.cell_complete = finish_and_tell
        deadline = time.monotonic() + (execution_timeout or float("inf"))
        client = _Client(
            nb_man,
            timeout_func=lambda _: max(1, math.ceil(deadline - time.monotonic())),
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            # What the kernel logs is not of the notebook, and would break the progress bars.
            extra_arguments=["--log-level=CRITICAL"],
        )
        _running.add(client)
        try:
            return client.execute(env={**os.environ, "TQDM_DISABLE": "1"})
        finally:
            _running.discard(client)


_running: set[_Client] = set()
papermill_engines.register(_Engine.NAME, _Engine)

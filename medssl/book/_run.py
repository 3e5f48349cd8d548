"""Execute one chapter in a process of its own: ``python -m medssl.book._run REQUEST.json``.

The process writes one JSON object a line to its standard output (``{"cell": 3, "of": 12}``, then
``{"done": true}`` or ``{"error": {...}}``); everything else, the kernel's own messages included, goes to
standard error, which the caller keeps as the chapter's log.
When the caller disappears, its end of standard input closes, and the kernel is stopped.
"""

import json
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path

__all__ = ["main"]

_PROGRESS_BAR = re.compile(r"[^\n]*(?:\r|\d%\|)[^\n]*\n?")
_SHOWN = {"show-input", "parameters", "injected-parameters", "remove-cell", "remove-input", "hide-input"}


def main() -> int:
    """Execute the chapter that the request names; return 0, or 1 after reporting an error."""
    report = _private_stdout()
    threading.Thread(target=_stop_with_caller, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    error = _execute(request, report)
    report({"error": error} if error else {"done": True})
    return 1 if error else 0


def _execute(request: dict, report) -> dict | None:
    import nbclient
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    from medssl.book._engine import ReportingEngine

    output = Path(request["output"])
    nbformat.write(prepare(request), output)
    papermill_engines.register("medssl", ReportingEngine)
    try:
        papermill.execute_notebook(
            output, output, engine_name="medssl", kernel_name="python3", progress_bar=False,
            log_output=True, cwd=output.parent, report=report,
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        return {"cell": error.exec_count, "name": error.ename, "text": error.evalue, "source": error.source}
    except (nbclient.exceptions.DeadKernelError, RuntimeError) as error:
        return {"cell": None, "name": type(error).__name__, "text": str(error), "source": ""}
    nbformat.write(tidy(nbformat.read(output, as_version=4)), output)
    return None


def prepare(request: dict):
    """Turn the percent-format source into a notebook, with the given parameters in a cell of their own.

    Parameters
    ----------
    request : dict
        ``source`` (path), ``values`` (name to Python literal) and ``overridden`` (whether a reader should
        see the injected values).
    """
    import jupytext
    import nbformat

    notebook = jupytext.read(request["source"], fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    tagged = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    if request["values"]:
        lines = ["# Parameters of this execution", *(f"{k} = {v}" for k, v in request["values"].items())]
        cell = nbformat.v4.new_code_cell("\n".join(lines))
        cell.metadata["tags"] = [
            "injected-parameters",
            "hide-input" if request["overridden"] else "remove-cell",
        ]
        notebook.cells.insert(tagged[0] + 1, cell)
    for cell in notebook.cells:
        if cell.cell_type == "code" and not _SHOWN & set(cell.metadata.get("tags", [])):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    return notebook


def tidy(notebook):
    """Drop progress bars and the paths of this machine from an executed notebook."""
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                output.text = _PROGRESS_BAR.sub("", output.text)
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if o.output_type != "stream" or o.text.strip()]
    for key in ("input_path", "output_path"):
        notebook.metadata.get("papermill", {}).pop(key, None)
    return notebook


def _private_stdout():
    """Keep standard output for reports; whatever else prints there goes to standard error."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(message: dict) -> None:
        print(json.dumps(message), file=stream, flush=True)

    return report


def _stop_with_caller() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())

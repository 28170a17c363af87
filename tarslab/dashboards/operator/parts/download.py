"""A file for the browser to keep."""

from tarslab.dashboards.operator.parts.part import Part, program


class Download(Part):
    """Hands a file to the browser in parts: each of less than a megabyte, and no more than that a
    second, since Jupyter drops what is more."""

    _esm = program("download")

    def add(self, part: str) -> None:
        """The next part of the file."""
        self.send({"part": part})

    def finish(self, name: str, media_type: str) -> None:
        """Have it kept under this name."""
        self.send({"name": name, "type": media_type})

    def drop(self) -> None:
        """Nothing comes of it."""
        self.send({"drop": True})

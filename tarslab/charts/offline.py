"""Charts without a network: the MIME bundle of a chart, and the Vega code for pages and widgets."""

import copy
import re
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from platformdirs import user_cache_path

from tarslab.charts.theme import HOVER_LAYER, WIDTH

# JupyterLab, Voila and VS Code register this type; the specification in it is Vega-Lite 6, which
# their Vega reads.
VEGALITE_MIME = "application/vnd.vegalite.v5+json"
VEGALITE_VERSION = "6.4"

CLIP_ID = re.compile(r"\bclip\d+\b")

# Marks a chart of fixed width that a page may give its own width.
RESPONSIVE = "responsive"


def adopt() -> None:
    """Use the offline renderer and the theme, where the user has not chosen others."""
    alt.renderers.register("tarslab", mime_bundle)
    if alt.renderers.active == "default":
        alt.renderers.enable("tarslab")
    if alt.theme.active == "default":
        alt.theme.enable("tarslab")


def mime_bundle(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A chart for every front end: live where Vega-Lite is known, an SVG where it is not."""
    if spec.get("width") == "container":
        # JupyterLab draws a chart that follows its container again and again, without end.
        spec = {**spec, "width": WIDTH, "usermeta": {**spec.get("usermeta", {}), RESPONSIVE: True}}
    return {
        VEGALITE_MIME: spec,
        "image/svg+xml": svg(spec),
        "text/plain": spec.get("description", "Vega-Lite chart"),
    }


def svg(spec: dict[str, Any]) -> str:
    """The chart as a still picture, without the invisible points that carry its tooltips."""
    drawn = vl_convert.vegalite_to_svg(_still(spec), vl_version=VEGALITE_VERSION)
    return _with_own_ids(drawn)


@cache
def vega_bundle(snippet: str) -> str:
    """JavaScript that holds Vega, Vega-Lite and Vega-Embed with a snippet that imports them.

    Bundling takes seconds, so the result is kept in the user's cache folder.
    """
    key = sha256(
        f"{version('vl-convert-python')} {VEGALITE_VERSION} {snippet}".encode()
    ).hexdigest()
    kept = user_cache_path("tarslab") / f"vega-{key[:16]}.js"
    if kept.is_file():
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle(snippet, vl_version=VEGALITE_VERSION)
    _keep(kept, bundle)
    return bundle


def _keep(path: Path, text: str) -> None:
    """Write a cache file whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{id(text)}.tmp")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError:
        return


def _with_own_ids(svg: str) -> str:
    """Vega numbers its clip paths through a whole session.

    Numbered within the chart, and marked with a digest of it, they are the same on every run and
    no two charts of a page share one.
    """
    ids = list(dict.fromkeys(CLIP_ID.findall(svg)))
    plain = CLIP_ID.sub("", svg)
    digest = sha256(plain.encode()).hexdigest()[:8]
    return CLIP_ID.sub(lambda found: f"clip-{digest}-{ids.index(found[0])}", svg)


def _still(spec: dict[str, Any]) -> dict[str, Any]:
    still = copy.copy(spec)
    if "layer" in still:
        still["layer"] = [la for la in still["layer"] if la.get("name") != HOVER_LAYER]
    return still

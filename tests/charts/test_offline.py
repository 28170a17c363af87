"""Charts without a network."""

import json
import re

import pytest

import tarslab as tl
from tarslab.charts import offline


@pytest.fixture
def chart(make_runs):
    return tl.charts.reward_curve(make_runs(ppo=[1.0, 5.0, 3.0, 4.0]))


def test_a_chart_carries_a_live_a_still_and_a_plain_form(chart) -> None:
    bundle = chart._repr_mimebundle_(None, None)
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert set(data) == {offline.VEGALITE_MIME, "image/svg+xml", "text/plain"}
    assert data["text/plain"].startswith("Line chart of episode return")


def test_the_live_form_has_a_width_of_its_own_that_a_page_may_change(chart) -> None:
    spec = offline.mime_bundle(chart.to_dict())[offline.VEGALITE_MIME]
    assert spec["width"] == 680
    assert spec["usermeta"]["responsive"] is True
    assert chart.to_dict()["width"] == "container"


def test_the_still_form_draws_the_line_and_not_the_points_that_carry_tooltips(chart) -> None:
    svg = offline.svg(chart.to_dict())
    assert svg.startswith("<svg")
    assert "mark-line" in svg
    assert re.search(r'class="[^"]*hover', svg) is None


def test_the_same_chart_is_the_same_bytes(make_runs) -> None:
    def bundle() -> str:
        chart = tl.charts.reward_curve(make_runs(ppo=[1.0, 5.0, 3.0]), target=2)
        return json.dumps(offline.mime_bundle(chart.to_dict()), sort_keys=True)

    assert bundle() == bundle()


def test_no_two_charts_share_a_clip_path(make_runs) -> None:
    def ids(values: list[float]) -> set[str]:
        chart = tl.charts.reward_curve(make_runs(ppo=values))
        return set(re.findall(r'id="([^"]+)"', offline.svg(chart.to_dict())))

    assert ids([1.0, 2.0])
    assert ids([1.0, 2.0]).isdisjoint(ids([2.0, 1.0]))


def test_the_vega_bundle_is_kept_and_a_cache_that_cannot_be_written_is_no_error(
    tmp_path, monkeypatch
) -> None:
    snippet = "console.log(vegaEmbed)"
    monkeypatch.setattr(offline, "user_cache_path", lambda _: tmp_path / "cache")
    bundle = offline.vega_bundle(snippet)
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.read_text(encoding="utf-8") == bundle
    assert not re.search(r"""(?:from|import)\s*\(?["']https?:""", bundle)

    offline.vega_bundle.cache_clear()
    kept.write_text("from the cache", encoding="utf-8")
    assert offline.vega_bundle(snippet) == "from the cache"

    offline.vega_bundle.cache_clear()
    (tmp_path / "file").touch()
    monkeypatch.setattr(offline, "user_cache_path", lambda _: tmp_path / "file")
    assert offline.vega_bundle(snippet) == bundle

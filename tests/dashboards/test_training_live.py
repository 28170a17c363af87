"""The training dashboard over runs that another process trains."""

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.dashboards import TrainingDashboard
from tarslab.dashboards.training import LOOK_SECONDS


@pytest.fixture
def sent() -> Callable[[TrainingDashboard], list[float]]:
    """The moments at which a dashboard sent its front end a chart."""
    moments: list[float] = []

    def watch(dashboard: TrainingDashboard) -> list[float]:
        dashboard.view.observe(lambda _: moments.append(time.monotonic()), names="spec")
        return moments

    return watch


def chosen(dashboard: TrainingDashboard) -> tl.Runs:
    assert dashboard.selected is not None
    return dashboard.selected


def last_step(dashboard: TrainingDashboard) -> int:
    return int(chosen(dashboard).scalars["step"].max())


def test_a_refresh_draws_what_was_logged_since_and_nothing_where_nothing_was(
    tmp_path: Path, train, sent
) -> None:
    log = train("ppo/seed_0")
    log(10)
    dashboard = tl.dashboards.training(tl.follow(tmp_path))
    moments = sent(dashboard)
    assert not dashboard.refresh()
    assert moments == []
    log(5)
    assert dashboard.refresh()
    assert len(moments) == 1
    assert last_step(dashboard) == 14


def test_runs_that_come_in_can_be_chosen_and_what_was_chosen_stays(tmp_path: Path, train) -> None:
    train("ppo/seed_0")(10)
    dashboard = tl.dashboards.training(tl.follow(tmp_path))
    dashboard.algo.value = ("ppo",)
    dashboard.window.value = 3
    train("a2c/seed_7")(10)
    assert dashboard.refresh()
    assert dict(dashboard.algo.options) == {"a2c": "a2c", "ppo": "ppo"}
    assert dict(dashboard.seed.options) == {"0": 0, "7": 7}
    assert dashboard.algo.value == ("ppo",)
    assert dashboard.window.value == 3
    assert chosen(dashboard).names == ["ppo/seed_0"]
    dashboard.algo.value = ()
    assert chosen(dashboard).names == ["a2c/seed_7", "ppo/seed_0"]


def test_a_redraw_leaves_hidden_what_the_reader_has_hidden_and_in_view_what_was(
    tmp_path: Path, train
) -> None:
    log = train("ppo/seed_0")
    log(10)
    train("ppo/seed_1")(10)
    dashboard = tl.dashboards.training(tl.follow(tmp_path))
    # As the front end tells it, once a line is hidden and the wheel was turned.
    series = {"fields": [{"type": "E", "field": "series"}], "values": ["ppo/seed_1"]}
    channels = [{"field": "step", "channel": "x"}, {"field": "value", "channel": "y"}]
    zoomed = {"fields": channels, "values": [[2, 5], [0, 9]]}
    dashboard.view._vl_selections = {
        "toggle_series": {"value": {"series": ["ppo/seed_1"]}, "store": [series]},
        "zoom": {"value": {}, "store": [zoomed]},
    }
    train("ppo/seed_2")(10)
    assert dashboard.refresh()
    toggle, zoom = dashboard.view.spec["params"]
    assert toggle["value"] == [{"series": "ppo/seed_1"}, {"series": "ppo/seed_2"}]
    assert zoom["value"] == {"x": [2, 5], "y": [0, 9]}
    # At once again, before the front end has said anything of the new chart.
    train("ppo/seed_3")(10)
    assert dashboard.refresh()
    toggle, zoom = dashboard.view.spec["params"]
    assert [one["series"][-1] for one in toggle["value"]] == ["1", "2", "3"]
    assert zoom["value"] == {"x": [2, 5], "y": [0, 9]}
    # The front end has drawn that, and the line that was hidden is shown again.
    shown = [{**series, "values": [f"ppo/seed_{n}"]} for n in range(4)]
    dashboard.view._vl_selections = {
        "toggle_series": {"value": {"series": []}, "store": shown},
        "zoom": {"value": {}, "store": []},
    }
    log(30)
    assert dashboard.refresh()
    toggle, zoom = dashboard.view.spec["params"]
    assert len(toggle["value"]) == 4
    assert "value" not in zoom
    dashboard.view._vl_selections = {
        "toggle_series": {"value": {"series": []}, "store": shown[:2]},
        "zoom": {"value": {}, "store": [zoomed]},
    }
    dashboard.window.value = 2
    toggle, zoom = dashboard.view.spec["params"]
    assert len(toggle["value"]) == 4
    assert "value" not in zoom


def test_where_a_loop_runs_it_follows_by_itself_and_redraws_at_most_once_a_second(
    tmp_path: Path, train, sent
) -> None:
    log = train("ppo/seed_0")
    log(1)

    async def follow() -> tuple[TrainingDashboard, list[float]]:
        dashboard = tl.dashboards.training(tl.follow(tmp_path))
        moments = sent(dashboard)
        async with asyncio.timeout(30):
            while len(moments) < 3:
                log(1)
                await asyncio.sleep(0.02)
        dashboard.close()
        return dashboard, moments

    dashboard, moments = asyncio.run(follow())
    assert last_step(dashboard) > 3
    assert all(b - a >= 0.95 * LOOK_SECONDS for a, b in itertools.pairwise(moments))


def test_it_stands_still_while_follow_is_not_ticked_and_once_closed(
    tmp_path: Path, train, sent
) -> None:
    log = train("ppo/seed_0")
    log(1)

    async def look() -> list[float]:
        dashboard = tl.dashboards.training(tl.follow(tmp_path))
        moments: list[float] = sent(dashboard)
        dashboard.live.value = False
        log(1)
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert moments == []
        dashboard.live.value = True
        async with asyncio.timeout(30):
            while not moments:
                await asyncio.sleep(0.02)
        dashboard.close()
        log(1)
        await asyncio.sleep(2 * LOOK_SECONDS)
        return moments

    assert len(asyncio.run(look())) == 1


def test_two_dashboards_over_the_same_runs_both_follow(tmp_path: Path, train) -> None:
    log = train("ppo/seed_0")
    log(10)
    runs = tl.follow(tmp_path)
    first, second = tl.dashboards.training(runs), tl.dashboards.training(runs)
    log(5)
    assert first.refresh()
    assert second.refresh()
    log(5)
    assert runs.update()
    assert first.refresh()
    assert (last_step(first), last_step(second)) == (19, 14)


def test_a_dashboard_that_was_taken_off_the_page_rests_until_it_is_shown_again(
    tmp_path: Path, train, sent
) -> None:
    log = train("ppo/seed_0")
    log(1)

    async def look() -> int:
        dashboard = tl.dashboards.training(tl.follow(tmp_path))
        moments: list[float] = sent(dashboard)
        # As the front end counts.
        dashboard._view_count = 1
        await asyncio.sleep(1.5 * LOOK_SECONDS)
        dashboard._view_count = 0
        log(1)
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert moments == []
        dashboard._view_count = 1
        async with asyncio.timeout(30):
            while not moments:
                await asyncio.sleep(0.02)
        dashboard.close()
        return len(moments)

    assert asyncio.run(look()) == 1


def test_what_ends_the_following_is_said(tmp_path: Path, write_events) -> None:
    write_events(tmp_path / "a", [("x", 5, 1.0)], name="events.out.tfevents.1")

    async def look() -> TrainingDashboard:
        dashboard = tl.dashboards.training(tl.follow(tmp_path, restarts="error"))
        write_events(tmp_path / "a", [("x", 1, 1.0)], name="events.out.tfevents.2", start=1.8e9)
        async with asyncio.timeout(30):
            while dashboard.live.value:
                await asyncio.sleep(0.02)
        dashboard.close()
        return dashboard

    assert "steps go back" in asyncio.run(look()).status.value


def test_damage_that_was_met_is_named_under_the_controls(tmp_path: Path, write_events) -> None:
    path = write_events(tmp_path / "a", [("reward", step, 1.0) for step in range(50)])
    data = path.read_bytes()
    path.write_bytes(data[:1_000])
    dashboard = tl.dashboards.training(tl.follow(tmp_path))
    path.write_bytes(data[:1_000] + bytes(100) + data[1_000:])
    assert dashboard.refresh()
    assert "checksum" in dashboard.status.value
    path.write_bytes(data)
    assert dashboard.refresh()
    assert "checksum" not in dashboard.status.value


def test_runs_that_do_not_grow_have_nothing_to_tick(tmp_path: Path, make_runs) -> None:
    dashboard = tl.dashboards.training(make_runs(ppo_0=[1.0, 2.0]))
    assert not dashboard.refresh()
    assert dashboard.live not in dashboard.children[0].children

"""What a chart says, apart from how it looks."""

from collections.abc import Callable
from typing import Any

import altair as alt
import pytest


@pytest.fixture
def rows_of() -> Callable[[alt.LayerChart], list[dict[str, Any]]]:
    """The rows that a curve chart draws, its columns unfolded again."""

    def rows(chart: alt.LayerChart) -> list[dict[str, Any]]:
        spec = chart.to_dict()
        unfolded = []
        for record in spec["datasets"][spec["data"]["name"]]:
            columns = {key: value for key, value in record.items() if isinstance(value, list)}
            rest = {key: value for key, value in record.items() if key not in columns}
            for values in zip(*columns.values(), strict=True):
                unfolded.append(rest | dict(zip(columns, values, strict=True)))
        return unfolded

    return rows

"""Whether the services work, and how much they have to do."""

from tarslab.admin.models import Readiness, Services
from tarslab.dashboards.operator.parts import Badge, Row, Table
from tarslab.dashboards.operator.rates import Rate, Rates, parse
from tarslab.dashboards.operator.tabs.tab import Desk, Tab, html, show_facts
from tarslab.dashboards.operator.words import milliseconds, sparkline


class HealthTab(Tab):
    """Services, Redis, rates and errors."""

    title = "Health"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.rates = Rates()
        self.services = Table("Services", ("Service", "State", "Mode", "Answers in", "Says"))
        self.redis = html()
        self.table = Table(
            "Rates of the API",
            ("What", "A second", "Lately", "In all"),
            numbers=("A second", "In all"),
            empty="The API gives no metrics.",
        )
        self.lay_out(self.services, self.redis, self.table)

    async def load(self) -> None:
        services = await self.session.ask(lambda client: client.health.services())
        ready = await self.session.ask(lambda client: client.health.ready())
        self.services.show(_service_rows(services))
        show_facts(self.redis, *_redis(ready))
        text = await self.session.metrics()
        if text:
            self.rates.add(parse(text))
        self._show_rates()

    def clear(self) -> None:
        self.rates = Rates()
        self.services.show([])
        self.redis.value = ""
        self._show_rates()

    def _show_rates(self) -> None:
        self.table.show(map(_rate_row, self.rates.rows()))


def _service_rows(services: Services) -> list[Row]:
    return [
        Row(
            name,
            name,
            (
                name,
                Badge("ready", "good") if one.ready else Badge("not ready", "bad"),
                Badge(one.mode, "good" if one.mode == "normal" else "warn") if one.mode else "",
                milliseconds(one.seconds),
                one.detail or "",
            ),
        )
        for name, one in services.services.items()
    ]


def _redis(ready: Readiness) -> list[tuple[str, str]]:
    store, age = ready.store, ready.snapshot_age
    up = f"up, answers in {milliseconds(store.seconds)}" if store.up else "out"
    kept = "no state kept" if age is None else f"kept {age:.0f} s ago"
    return [("Redis", up), ("State for legacy mode", kept)]


def _rate_row(rate: Rate) -> Row:
    now = "" if rate.now is None else f"{rate.now:.2f}"
    lately = sparkline(rate.history, f"{rate.name} a second") if rate.history else ""
    return Row(rate.name, rate.name, (rate.name, now, lately, f"{rate.total:,.0f}"))

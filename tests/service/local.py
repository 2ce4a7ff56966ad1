"""Two published lists and the service's own ``Live`` on them, asked without a server."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from features.snapshot_config import Population
from serving.life.live import Live
from serving.problem import Problem, Refusal, read
from serving.scores import online
from serving.scores.schema import ScoreAnswer, ScoreRequest
from tests.service import world as worlds
from tests.service.world import World
from tests.unit.bundles import frame, logistic_bundle, with_parts

SEEN_DAYS = 20
SAME = ("outcome", "windows", "history_days", "timezone", "value", "capacity")


@dataclass(frozen=True)
class Local:
    """churn: trees on active subscriptions; upsell: a linear model of whoever logged in within ``SEEN_DAYS``.

    Both have an interval and a curve.
    """

    world: World
    live: Live

    def __call__(self, *customers: Any, model: str = "churn", **more: Any) -> list[dict[str, Any]]:
        """The results; the answer is checked against the schema that the doors publish."""
        which = {} if "models" in more else {"model": model}
        return self.body({**which, "customers": list(customers), **more})["results"]

    def body(self, content: Any) -> dict[str, Any]:
        """The answer to a body."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        made = json.loads(online.answer_bytes(self.live, read(ScoreRequest, raw)))
        assert ScoreAnswer.model_validate(made).model_dump(mode="json") == made
        return made

    def said(self, content: Any) -> dict[str, Any] | Problem:
        """The answer to a body, or the problem."""
        try:
            return self.body(content)
        except Refusal as refusal:
            return refusal.problem

    def refused(self, content: Any) -> Problem:
        """The problem that is the answer to a body."""
        said = self.said(content)
        assert isinstance(said, Problem), "it was answered"
        return said

    def listed(self, model: str, lang: str = "en") -> dict[str, Any]:
        """The published list, as its file says it."""
        own = (
            self.world if lang == "en" else World(self.world.path, self.world.config.model_copy(update={"lang": lang}))
        )
        return json.loads(own.publish(model=model).json.read_text("utf-8"))

    def events(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Everything the tables hold of a customer, as a caller would send it, in turn by the clock of the data, with a
        zone, and in UTC."""
        data = self.world.path.parent / "data"
        found: dict[str, list[dict[str, Any]]] = {"login": [], "ticket": []}
        for place, row in enumerate(_of(data / "logins.parquet", customer)):
            found["login"].append({"at": _text(row["at"], place), "entity": row["user"]})
        for place, row in enumerate(_of(data / "tickets.parquet", customer)):
            until = None if pd.isna(row["closed"]) else _text(row["closed"], place + 1)
            found["ticket"].append({"at": _text(row["at"], place), "until": until})
        return found


def _of(path: Path, customer: str) -> list[dict[str, Any]]:
    rows = pd.read_parquet(path)
    return rows[rows["account"] == customer].to_dict("records")


def _text(at: pd.Timestamp, place: int) -> str:
    plain = at.isoformat()
    in_utc = (at - timedelta(hours=9)).isoformat(sep=" ") + "Z"
    return (plain, f"{plain}+09:00", in_utc)[place % 3]


def local(folder: Path) -> Local:
    """Make the company, publish both lists, serve them."""
    world = worlds.make(folder, models="[churn, upsell]")
    churn = worlds.bundle()
    same = {name: getattr(churn.info, name) for name in SAME}
    seen = Population.model_validate({"seen": {"streams": ["login"], "days": SEEN_DAYS}})
    for made in (churn, logistic_bundle(frame(600), model="upsell", population=seen, **same)):
        world.place(with_parts(made))
    for model in world.config.models:
        world.publish(model=model)
    return Local(world, Live(world.config))

"""A tiny company ready to be listed and served: tables, YAML, a placed champion."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from features import config as configs
from features import facts
from features.snapshot_config import Population, SubscriptionEnd, Windows
from serving.config import ServingConfig
from serving.lists import daily
from serving.stores import store
from tests.company import tables
from tests.unit.bundles import frame, lightgbm_bundle
from training import bundle as bundles
from training.bundle import Bundle
from training.value import Capacity, Value

LAST_WEEK, TODAY = date(2026, 1, 25), date(2026, 2, 1)
NOON = datetime(2026, 2, 1, 12)
LEAVING, OPTED_OUT, SILENT = "C-0007", "C-0008", "C-0009"
DATA = """\
name: NAME
root: "ROOT"
timezone: Asia/Tokyo
naive_times: Asia/Tokyo
history_days: 200
customers:
  table: customers.parquet
  id: account
  name: name
  owner: owner
  opted_out: no_profiling
  known_from: signup
  attributes: {plan: {type: category, static: true, label: {en: Plan, ja: プラン}}}
subscriptions:
  {table: terms.parquet, id: account, start: start, end: end, notice: notice, value: arr, renewal: renewal}
streams:
  login: {table: logins.parquet, id: account, at: at, entity: user, label: {en: Logins, ja: ログイン}}
  ticket: {table: tickets.parquet, id: account, at: at, until: closed, label: {en: Tickets, ja: 問合せ}}
  contact: {table: contacts.parquet, id: account, at: at, role: contact}
"""


@dataclass(frozen=True)
class World:
    """``path`` is the serving.yaml; ``config`` is what it says."""

    path: Path
    config: ServingConfig

    def place(self, bundle: Bundle) -> None:
        """Make a bundle the champion."""
        folder = self.path.parent / "made" / bundle.version
        bundles.save(bundle, folder)
        bundles.place(folder, self.config.home, bundle.info.model)

    def publish(self, as_of: date | None = TODAY, model: str = "churn", batch: int = store.BATCH) -> daily.Outcome:
        """Run the daily job for one model and date; None is the newest date the data allow."""
        engine = store.connect(self.config.store_url)
        with daily.alone(self.config.home), store.alone(engine):
            store.migrate(engine)
            known = facts.read(self.config.data)
            return daily.run(self.config, daily.champions(self.config)[model], as_of, known, lambda: NOON, batch)

    def session(self) -> Session:
        """A session on the store."""
        return Session(store.connect(self.config.store_url), expire_on_commit=False)


def bundle(seed: int = 0, **changes: object) -> Bundle:
    """A small tree model that fits this company."""
    plain = {
        "population": Population(subscription="active"),
        "outcome": SubscriptionEnd(kind="subscription_end", horizon_days=60, gap_days=7),
        "windows": Windows(days=(14, 28)),
        "history_days": 200,
        "timezone": "Asia/Tokyo",
        "value": Value(amount="subscription_value", margin=0.8, effect=0.2, contact_cost=5.0),
        "capacity": Capacity(contacts=3, per="week", by="owner", rest_days=14),
    }
    return lightgbm_bundle(frame(600, seed=seed), **{**plain, **changes})


def make(folder: Path, customers: int = 60, models: str = "[churn]") -> World:
    """Write a company of ``customers`` into ``folder``; its workspace is named after the folder."""
    random = np.random.default_rng(7)
    ids = [f"C-{number:04d}" for number in range(customers)]
    tables(folder / "data", **_people(ids), **_streams(ids, random))
    text = DATA.replace("ROOT", str(folder / "data")).replace("NAME", folder.name.lower().replace("_", "-"))
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    path = folder / "serving.yaml"
    path.write_text(f"data: data.yaml\nmodels: {models}\n", encoding="utf-8")
    return World(path, configs.load(path, ServingConfig))


def _people(ids: list[str]) -> dict[str, pd.DataFrame]:
    begin = pd.Timestamp("2025-03-01")
    number = np.arange(len(ids))
    people = pd.DataFrame({"account": ids, "no_profiling": [one == OPTED_OUT for one in ids]})
    people["name"] = [f"=Company {i}" if i == 0 else f"会社{i}" for i in number]
    people["owner"] = np.where(number % 2, "ann@example.com", "bob@example.com")
    people["signup"] = begin + pd.to_timedelta(number * 3 % 200, unit="D")
    people["plan"] = np.array(["basic", "free", "pro"], object)[number % 3]
    terms = people[["account"]].assign(start=people["signup"], arr=1000.0 + 100 * number)
    terms["end"] = pd.Series(pd.NaT, index=number, dtype="datetime64[us]")
    terms["notice"] = pd.Series([pd.Timestamp("2026-01-10") if one == LEAVING else pd.NaT for one in ids])
    terms["renewal"] = pd.Timestamp("2026-03-01") + pd.to_timedelta(number, unit="D")
    return {"customers": people, "terms": terms}


def _streams(ids: list[str], random: np.random.Generator) -> dict[str, pd.DataFrame]:
    end = pd.Timestamp("2026-02-01")
    logins = []
    for number, account in enumerate(ids):
        quiet = 80 if account == SILENT else 1 + number % 25
        days = np.arange(quiet, 150, 1 + number % 4)
        logins += [(account, end - pd.Timedelta(days=int(day), hours=-9), f"U{day % 3}") for day in days]
    logins.append((ids[1], pd.Timestamp("2026-01-31 20:00"), "U0"))
    opened = [(account, end - pd.Timedelta(days=int(random.integers(5, 40)))) for account in ids[::4]]
    tickets = pd.DataFrame(opened, columns=["account", "at"])
    tickets["closed"] = [at + pd.Timedelta(days=3) if i % 2 else pd.NaT for i, at in enumerate(tickets["at"])]
    contacts = pd.DataFrame({"account": ids[10:14], "at": pd.Timestamp("2026-01-28 10:00")})
    return {
        "logins": pd.DataFrame(logins, columns=["account", "at", "user"]),
        "tickets": tickets,
        "contacts": contacts,
    }

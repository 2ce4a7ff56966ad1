"""One list on its way: scores into a draft, ranks, the rows of the store, the files."""

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from features.command import progress
from serving.config import ServingConfig
from serving.lists import checks, pieces, priority, risk_list, scoring
from serving.lists.draft import Draft
from serving.lists.pieces import Crew
from serving.lists.rows import Rows
from serving.lists.today import Today
from serving.stores import good, journal, records, store
from training.bundle import Bundle

SAID_EVERY = 100_000


class Refused(Exception):
    """A check said no: nothing was published. The arguments are its sentences."""


class Making:
    """One list on its way from scores to files. entry: its row of the ledger."""

    def __init__(self, session: Session, config: ServingConfig, bundle: Bundle, entry: records.Run):
        self._session, self._config, self._bundle, self._entry = session, config, bundle, entry
        self._folder, self._name = config.home / "snapshots", f"{entry.model}-{entry.as_of}"

    def draft(self, own: Today) -> Draft:
        about = {"model": self._entry.model, "as_of": self._entry.as_of.isoformat()}
        layout = scoring.layout(self._bundle, own.features)
        return Draft(self._folder, self._name, priority.columns(self._bundle.info), layout, about)

    def make(self, own: Today, draft: Draft, silent: Iterable[str], latest: bool) -> pd.DataFrame:
        """Features and scores, part by part into the draft, and ranks, with a check after each step.

        Gives ``priority.plan`` and ``change``, by customer. latest: no later list can be made.
        """
        _refuse(*own.problems)
        done = 0
        for part, left_out in own.pieces(partial(scoring.scored, self._bundle, own.features)):
            draft.add(part, left_out)
            done, before = done + part.num_rows, done
            if done // SAID_EVERY > before // SAID_EVERY:
                progress(f"{self._entry.model}: {done:,} customers scored …")
        ranking = draft.close()
        _refuse(*checks.of_rows(ranking), *silent)
        score = ranking[scoring.SCORE].to_numpy()
        _refuse(*checks.of_scores(score, ranking[scoring.GAP].to_numpy()))
        plan = priority.plan(self._contacted(ranking, latest), score, self._bundle.info, self._entry.as_of)
        previous = pd.Series(store.before(self._session, self._entry.model, self._entry.as_of), dtype=np.float64)
        self._session.commit()  # making the rows takes a while, and an open transaction would lock writers out
        return plan.assign(change=score - previous.reindex(ranking["customer_id"]).to_numpy())

    def _contacted(self, ranking: pd.DataFrame, latest: bool) -> pd.DataFrame:
        """The contacts that people told the service of count like those of the tables."""
        info, as_of = self._bundle.info, self._entry.as_of
        since = datetime.combine(priority.matters_from(info.capacity, as_of) - timedelta(days=1), time())
        told = journal.contacts_since(self._session, None, since)
        days = priority.days(told, self._config.data.timezone, None if latest else as_of)
        return priority.contacted(ranking, days)

    def keep(self, own: Today, draft: Draft, plan: pd.DataFrame) -> None:
        """The list's file, and what the ledger says of the list."""
        progress(f"{self._entry.model}: the file of {len(plan):,} customers …")
        entry = self._entry
        entry.features, entry.rows, entry.snapshot = risk_list.columns(own.features), len(plan), draft.keep(self._name)
        entry.content = pieces.content_hash([entry.bundle, entry.features, entry.snapshot], plan)

    def stage(self, crew: Crew, plan: pd.DataFrame, batch: int) -> bool:
        """Store the list where nobody sees it yet; False when this very list is published already."""
        session, entry = self._session, self._entry
        there = store.published(session, entry.model, entry.as_of)
        session.commit()
        if there is not None and there.state == "published" and there.content == entry.content:
            return False
        progress(f"{entry.model}: storing them …")
        path = self._folder / entry.snapshot
        store.begin(session, entry)
        store.stage(session, entry.id, records.LeftOut, Rows(path).left_out(), batch)
        rows = crew.each(pieces.staged(path), plan, np.arange(len(plan)))
        store.stage(session, entry.id, records.Score, chain.from_iterable(rows), batch)
        return True

    def write(self, crew: Crew, plan: pd.DataFrame) -> tuple[Path, Path]:
        """The list as CSV and JSON files, of the same rows as those in the store."""
        progress(f"{self._entry.model}: writing them …")
        path = self._config.home / "lists" / self._name
        csv, json = path.with_suffix(".csv"), path.with_suffix(".json")
        rows = self._folder / self._entry.snapshot
        work, order = pieces.told(rows, self._entry, self._config.lang), plan["rank"].to_numpy().argsort()
        with risk_list.appearing(csv) as lines, risk_list.appearing(json) as objects:
            lines.write(risk_list.Csv(self._entry, self._config.lang, Rows(rows).layout.horizons).head.encode())
            objects.write(risk_list.json_head(self._entry, self._config.lang))
            for number, (some, others) in enumerate(crew.each(work, plan, order)):
                lines.write(some)
                objects.write(risk_list.BETWEEN + others if number else others)
            objects.write(risk_list.JSON_END)
        return csv, json


def _refuse(*problems: str) -> None:
    if problems:
        raise Refused(*problems)


def tidy(session: Session, home: Path, model: str) -> None:
    """Remove files that killed runs left, and list files that no list kept whole and no served state refers to."""
    kept = store.snapshots(session, model) | good.named(home)
    own = re.compile(rf"\.?{re.escape(model)}-\d{{4}}-\d\d-\d\d\W")
    for path in [*(home / "snapshots").glob("*"), *(home / "lists").glob(".*")]:
        if own.match(path.name) and path.name not in kept:
            path.unlink(missing_ok=True)


def fade(session: Session, home: Path) -> None:
    """Remove the files of lists that have lost their reasons in the store: they hold them too."""
    served = good.named(home)
    for run in store.faded(session):
        for suffix in (".csv", ".json"):
            (home / "lists" / f"{run.model}-{run.as_of}{suffix}").unlink(missing_ok=True)
        if run.snapshot and run.snapshot not in served:
            (home / "snapshots" / run.snapshot).unlink(missing_ok=True)

"""A whole company: blocks of accounts, one after the other, into one folder."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from simulation import accounts as accounts_of
from simulation import activity, contracts, names, oracle, records
from simulation.accounts import FEATURES, PLANS, REGIONS, Accounts
from simulation.causes import INDUSTRY, NAMES
from simulation.history import NEVER, History, simulate
from simulation.moments import NO_MOMENT, Clock
from simulation.records import Rows
from simulation.settings import EPOCH, Settings
from simulation.tables import Folder, new_folder
from simulation.verdict import Tally

BLOCK = 1000
PER_CSM = 150


@dataclass(frozen=True)
class Result:
    """What was written: rows by table, base rate and oracle AUC by outcome."""

    rows: dict[str, int]
    base_rate: dict[str, float]
    oracle_auc: dict[str, float]


def build(settings: Settings, progress: Callable[[int], None] = lambda done: None) -> Result:
    """Write all tables of a company to `settings.out`.

    Block b draws from (seed, b), so full blocks do not depend on the number of customers.
    Raises SimulationError when the oracle's AUC is out of bounds; then nothing is written.
    """
    tallies = (Tally("churn"), Tally("upsell"))
    with new_folder(settings.out) as folder:
        for first in range(0, settings.customers, BLOCK):
            size = min(BLOCK, settings.customers - first)
            _Block(settings, first, size).write(folder, tallies)
            progress(first + size)
        for tally in tallies:
            tally.check()
    return Result(
        rows=folder.rows,
        base_rate={tally.outcome: tally.base_rate for tally in tallies},
        oracle_auc={tally.outcome: tally.auc for tally in tallies},
    )


class _Block:
    """One block of accounts and its rows."""

    def __init__(self, settings: Settings, first: int, size: int):
        self.settings = settings
        self.clock = Clock((settings.start - EPOCH).days, settings.days)
        self.rng = np.random.default_rng((settings.seed, first // BLOCK))
        self.accounts: Accounts = accounts_of.draw(self.rng, first + 1, size, settings.days)
        self.history: History = simulate(self.accounts, settings, self.rng)
        self.ids = pa.array([f"A-{number:06d}" for number in self.accounts.number.tolist()])

    def write(self, folder: Folder, tallies: tuple[Tally, Tally]) -> None:
        self._truth(folder, tallies)
        self._accounts(folder)
        self._contracts(folder)
        self._activity(folder)
        self._records(folder)

    def _account(self, row: np.ndarray) -> pa.Array:
        return pa.DictionaryArray.from_arrays(row.astype(np.int32), self.ids)

    def _truth(self, folder: Folder, tallies: tuple[Tally, Tally]) -> None:
        spine = oracle.spine(self.accounts, self.history, self.settings)
        churn, survival = oracle.churn(spine, self.history, self.settings)
        upsell = oracle.upsell(spine, survival, self.history, self.settings)
        for tally, truth in zip(tallies, (churn, upsell), strict=True):
            tally.add(truth.probability, truth.happened)
            known = ~np.isnan(truth.happened)
            drawn = np.where(truth.happened == 1, truth.drawn_cause, NEVER)
            folder.write("truth", {
                "account_id": self._account(spine.account),
                "as_of": self._date(spine.as_of),
                "outcome": _words(np.zeros(len(known), int), (tally.outcome,)),
                "probability": pa.array(truth.probability),
                "happened": pa.array(truth.happened == 1, mask=~known),
                "main_cause": _words(truth.main_cause, NAMES),
                "decision_cause": _words(drawn, NAMES),
                "contact_effect": pa.array(truth.contact_effect, from_pandas=True),
                "held_out": pa.array(spine.held_out),
            })  # fmt: skip

    def _accounts(self, folder: Folder) -> None:
        mine = self.accounts
        folder.write("accounts", {
            "account_id": self.ids,
            "account_name": pa.array(names.draw(self.rng, len(mine))),
            "signup_date": self._date(mine.signup),
            "csm_email": pa.array([f"csm{1 + n // PER_CSM}@example.com" for n in (mine.number - 1).tolist()]),
            "region": _words(mine.region, REGIONS),
            "industry": _words(mine.industry, tuple(INDUSTRY)),
            "no_profiling": pa.array(mine.opted_out),
        })  # fmt: skip

    def _contracts(self, folder: Folder) -> None:
        seats = contracts.seat_history(self.accounts, self.history, self.clock)
        plans = contracts.plan_history(self.accounts, self.history, self.clock)
        terms = contracts.subscriptions(self.accounts, self.history, seats, plans, self.clock)
        self._write(folder, "seat_history", seats, reason=contracts.REASONS)
        self._write(folder, "plan_history", plans, plan=PLANS)
        numbers, nths = self.accounts.number[terms["account"]].tolist(), terms["nth"].tolist()
        ids = [f"S-{number:06d}-{nth + 1}" for number, nth in zip(numbers, nths, strict=True)]
        self._write(folder, "subscriptions", {**terms, "subscription_id": np.array(ids)}, plan=PLANS)

    def _activity(self, folder: Folder) -> None:
        found = activity.marks(self.accounts, self.history, self.rng)
        events = activity.events(self.accounts, self.history, found, self.clock, self.rng)
        slot, users = _users(events["account"], events["user"], self.ids)
        columns = self._columns(events, event=activity.KINDS, feature=FEATURES)
        folder.write("events", {**columns, "user_id": pa.DictionaryArray.from_arrays(slot, users)})
        reports = activity.seat_reports(self.accounts, self.history, found, self.clock, self.rng)
        self._write(folder, "seat_usage", reports)

    def _records(self, folder: Folder) -> None:
        mine, history, clock, rng = self.accounts, self.history, self.clock, self.rng
        tickets, invoices = records.tickets(mine, history, clock, rng), records.invoices(history, clock)
        self._write(folder, "tickets", tickets)
        self._write(folder, "surveys", records.surveys(mine, history, tickets, clock, rng), kind=("nps", "csat"))
        self._write(folder, "invoices", invoices)
        paid = records.payments(mine, history, invoices, clock, rng)
        self._write(folder, "payments", paid, status=("failed", "paid"))
        self._write(folder, "contacts", records.contacts(history, clock, rng), channel=records.CHANNELS)

    def _write(self, folder: Folder, name: str, rows: Rows, **words: tuple[str, ...]) -> None:
        folder.write(name, self._columns(rows, **words))

    def _columns(self, rows: Rows, **words: tuple[str, ...]) -> dict[str, pa.Array]:
        """Arrow columns by their names in the tables; *_at are seconds, day, start, end and renewal days."""
        days = {"day": "valid_from", "start": "start_date", "end": "end_date", "renewal": "renewal_date"}
        columns = {"account_id": self._account(rows["account"])}
        for name, values in rows.items():
            if name in words:
                columns[name] = _words(values, words[name])
            elif name in days:
                columns[days[name]] = self._date(values)
            elif name.endswith("_at"):
                columns[name] = pa.array(values * 1_000_000, pa.timestamp("us"), mask=values == NO_MOMENT)
            elif name != "account":
                columns[name] = pa.array(values)
        return columns

    def _date(self, days: np.ndarray) -> pa.Array:
        since_1970 = (days.astype(np.int64) + self.clock.first).astype(np.int32)
        return pa.array(since_1970, mask=days == NEVER).cast(pa.date32())


def _words(codes: np.ndarray, words: tuple[str, ...] | list[str]) -> pa.Array:
    """Words by code; -1 or any code beyond them is null."""
    codes = codes.astype(np.int64)
    mask = (codes < 0) | (codes >= len(words))
    indices = pa.array(np.where(mask, 0, codes).astype(np.int32), mask=mask)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words))


def _users(account: np.ndarray, user: np.ndarray, ids: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Names of users, as a dictionary of those that occur: codes int32[events], names."""
    span, low = int(user.max(initial=0)) - int(user.min(initial=0)) + 1, int(user.min(initial=0))
    cell = account.astype(np.int64) * span + (user - low)
    occurs = np.bincount(cell, minlength=len(ids) * span) > 0
    slot = (np.cumsum(occurs) - 1).astype(np.int32)
    owner, number = np.divmod(np.flatnonzero(occurs), span)
    texts = [
        f"{ids[row].as_py()}-k{-n}" if n < 0 else f"{ids[row].as_py()}-u{n}"
        for row, n in zip(owner.tolist(), (number + low).tolist(), strict=True)
    ]
    return slot[cell], pa.array(texts)

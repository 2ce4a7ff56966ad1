"""The same 52 windows written as well as we can in other engines.

    python -m benchmarks.peers polars --events events.parquet --dates 52

Each rolls the events up by customer, stream and day once; a date then needs the 90 days before it. Five forms were
tried in Polars and four in DuckDB at 2 M events, the best of them again at 20 M, and the one that took the least CPU
time there was kept: Polars sums masked columns, DuckDB aggregates stream by stream with filters and joins. pandas sums
16 cells (stream × the smallest window that holds the day) and then adds the cells up. Dates are handed on one by one,
so that none has to hold the whole answer in memory.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from benchmarks import work
from benchmarks.work import DAYS, STREAMS
from features.calendar import number
from features.errors import DataError

LONGEST = DAYS[-1]


def polars(events: Path, dates: Sequence[date]) -> Iterator[pa.Table]:
    """Lazy and streaming; a window is the sum of a column that is zero outside of it."""
    import polars as pl

    source = pl.scan_parquet(events).with_columns(stream=pl.col("event").cast(pl.Enum(STREAMS), strict=False))
    groups = ("customer_id", pl.col("stream").to_physical(), pl.col("ts").dt.date().alias("day"))
    rolled = source.filter(pl.col("stream").is_not_null()).group_by(*groups)
    daily = rolled.agg(n=pl.len().cast(pl.Int32), v=pl.col("value").sum()).collect(engine="streaming")
    masked, age = [], pl.col("age")
    for i, stream in enumerate(STREAMS):
        own = pl.col("stream") == i
        for days in DAYS:
            inside = own & (age <= days)
            masked.append((pl.col("n") * inside).alias(f"{stream}_count_{days}d"))
            masked.append(inside.cast(pl.Int32).alias(f"{stream}_days_{days}d"))
            masked.append((pl.col("v") * inside.cast(pl.Float32)).alias(f"{stream}_sum_{days}d"))
        masked.append(pl.when(own).then(age).alias(f"{stream}_recency"))
    total = pl.col("^.*d$").sum(), pl.col("^.*_recency$").min()
    for as_of in dates:
        recent = (pl.col("day") < as_of) & (pl.col("day") >= as_of - timedelta(days=LONGEST))
        aged = daily.lazy().filter(recent).with_columns(age=(as_of - pl.col("day")).dt.total_days().cast(pl.Int16))
        found = aged.select("customer_id", *masked).group_by("customer_id").agg(*total)
        yield found.with_columns(as_of=pl.lit(as_of)).collect(engine="streaming").to_arrow()


def duckdb(events: Path, dates: Sequence[date]) -> Iterator[pa.Table]:
    """SQL: a table of daily sums, then one query a date."""
    import duckdb as engine

    with engine.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.from_parquet(str(events)).create_view("events")
        connection.execute(
            f"""CREATE TABLE daily AS
                SELECT customer_id, list_position({list(STREAMS)}, event::varchar)::utinyint AS stream,
                       ts::date AS day, count(*)::int AS n, sum(value) AS v
                FROM events WHERE event IN {STREAMS} GROUP BY ALL"""
        )
        for as_of in dates:
            yield connection.execute(_sql(as_of)).to_arrow_table()


def _sql(as_of: date) -> str:
    parts, names = [], [name for name in work.columns() if not name.endswith("_recency")]
    for i, stream in enumerate(STREAMS):
        columns = ["customer_id", f"min(age) AS {stream}_recency"]
        for days in DAYS:
            within = f"FILTER (age <= {days})" if days < LONGEST else ""
            columns += [
                f"coalesce(sum(n) {within}, 0)::int AS {stream}_count_{days}d",
                f"(count(*) {within})::int AS {stream}_days_{days}d",
                f"coalesce(sum(v) {within}, 0) AS {stream}_sum_{days}d",
            ]
        parts.append(f"(SELECT {', '.join(columns)} FROM recent WHERE stream = {i + 1} GROUP BY customer_id)")
    zeros = ", ".join(f"coalesce({name}, 0) AS {name}" for name in names)
    return f"""
        WITH recent AS (SELECT *, (DATE '{as_of}' - day)::smallint AS age FROM daily
                        WHERE day < DATE '{as_of}' AND day >= DATE '{as_of}' - {LONGEST})
        SELECT DATE '{as_of}' AS as_of, * REPLACE ({zeros})
        FROM {" FULL JOIN ".join([parts[0], *(f"{part} USING (customer_id)" for part in parts[1:])])}"""


def pandas(events: Path, dates: Sequence[date]) -> Iterator[pa.Table]:
    """Group-bys on small integers, daily sums in order of days."""
    import numpy as np
    import pandas as pd

    rows = pd.read_parquet(events, filters=[("event", "in", STREAMS)])
    rows["day"] = rows.pop("ts").to_numpy().astype("datetime64[D]").astype(np.int32)
    rows["stream"] = rows.pop("event").astype(pd.CategoricalDtype(STREAMS)).cat.codes
    daily = rows.groupby(["customer_id", "stream", "day"])["value"].agg(n="size", v="sum").reset_index()
    daily = daily.sort_values("day", ignore_index=True)
    cells = [(short, cell) for short in ("n", "d", "v", "age") for cell in range(len(STREAMS) * len(DAYS))]
    for as_of in dates:
        low, high = np.searchsorted(daily["day"], [number(as_of) - LONGEST, number(as_of)])
        recent = daily.iloc[low:high].assign(d=1)
        recent["age"] = number(as_of) - recent["day"]
        recent["cell"] = recent["stream"] * len(DAYS) + np.searchsorted(DAYS, recent["age"]).astype(np.int8)
        grouped = recent.groupby(["customer_id", "cell"])
        summed = grouped[["n", "d", "v"]].sum().assign(age=grouped["age"].min())
        wide = summed.unstack().reindex(columns=pd.MultiIndex.from_tuples(cells))
        columns = {"customer_id": wide.index.to_numpy(), "as_of": pa.array([as_of] * len(wide))}
        for i, stream in enumerate(STREAMS):
            own = slice(len(DAYS) * i, len(DAYS) * (i + 1))
            for short, measure in zip("ndv", work.MEASURES):
                kind = np.float32 if short == "v" else np.int32
                reached = wide[short].iloc[:, own].fillna(0).to_numpy(kind).cumsum(axis=1)
                columns |= {f"{stream}_{measure}_{days}d": reached[:, j] for j, days in enumerate(DAYS)}
            columns[f"{stream}_recency"] = wide["age"].iloc[:, own].min(axis=1).to_numpy(np.float64)
        yield pa.table(columns)


def featuretools(events: Path, dates: Sequence[date]) -> Iterator[pa.Table]:
    """Deep feature synthesis with cut-off times, one call per date and window. For small sizes."""
    import featuretools as ft
    import numpy as np
    import pandas as pd

    if int(pd.__version__.split(".")[0]) > 2:
        raise DataError(f"featuretools {ft.__version__} does not run with pandas {pd.__version__}; use an older pandas")
    rows = pd.read_parquet(events, filters=[("event", "in", STREAMS)]).astype({"event": str})
    rows = rows.assign(row=np.arange(len(rows)), day=rows["ts"].dt.strftime("%Y-%m-%d"))
    kinds = {"event": "Categorical", "day": "Categorical"}
    known = ft.EntitySet("benchmark").add_dataframe(
        dataframe_name="events", dataframe=rows, index="row", time_index="ts", logical_types=kinds
    )
    known = known.normalize_dataframe("events", "customers", "customer_id", make_time_index=False)
    known.add_interesting_values(dataframe_name="events", values={"event": list(STREAMS)})
    primitives = ["count", "num_unique", "sum", "time_since_last"]
    for as_of in dates:
        end = pd.Timestamp(as_of)
        seen = rows["ts"].between(end - pd.Timedelta(days=LONGEST), end, inclusive="left")
        columns = pd.DataFrame({"customer_id": np.sort(rows.loc[seen, "customer_id"].unique())}).assign(as_of=as_of)
        for days in DAYS:
            found, _ = ft.dfs(
                entityset=known,
                target_dataframe_name="customers",
                cutoff_time=columns[["customer_id"]].assign(time=end),
                training_window=f"{days} days",
                include_cutoff_time=False,
                agg_primitives=primitives,
                where_primitives=primitives,
                trans_primitives=[],
                max_depth=1,
            )
            found = found.reindex(columns["customer_id"])
            for stream in STREAMS:
                where = f"WHERE event = {stream})"
                columns[f"{stream}_count_{days}d"] = found[f"COUNT(events {where}"].fillna(0).to_numpy(float)
                columns[f"{stream}_days_{days}d"] = found[f"NUM_UNIQUE(events.day {where}"].fillna(0).to_numpy(float)
                columns[f"{stream}_sum_{days}d"] = found[f"SUM(events.value {where}"].fillna(0).to_numpy(float)
                since = found[f"TIME_SINCE_LAST(events.ts {where}"].to_numpy(float)
                columns[f"{stream}_recency"] = np.ceil(since / 86_400)
        yield pa.Table.from_pandas(columns, preserve_index=False).replace_schema_metadata()


PEERS: dict[str, work.Engine] = {"polars": polars, "duckdb": duckdb, "pandas": pandas, "featuretools": featuretools}


def main() -> int:
    parser = work.parser(__doc__)
    parser.add_argument("peer", choices=PEERS)
    chosen = parser.parse_args()
    try:
        return work.answer(PEERS[chosen.peer], chosen)
    except ImportError as error:
        print(f"error: {chosen.peer} is not installed here ({error}); install it or choose another", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

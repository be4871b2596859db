"""One study of made-up runs and its page, for all tests that look at them."""

from pathlib import Path

import pytest
from made_up_study import made_up_study

from coupler.compare.findings import Findings, examine
from coupler.compare.pages import write


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return examine(*made_up_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="session")
def written(found: Findings) -> Path:
    write(found, took=90.0)
    return found.plan.settings.report

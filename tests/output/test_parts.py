"""Fields that are per area of a part of a cell: how files describe and average them."""

from __future__ import annotations

import pytest

from coupler.driver.files import cell_area
from coupler.where import BESIDE


@pytest.mark.parametrize("model", ["atmosphere", *BESIDE])
def test_only_cells_of_the_sea_are_called_so(model: str) -> None:
    assert cell_area(model) == ("areacello" if model in {"ocean", "ice"} else "areacella")

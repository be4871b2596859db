"""Which models of a run can be stepped on a rank of their own."""

from types import SimpleNamespace

import pytest

from coupler.driver.places import Elsewhere
from coupler.exchange.remote_model import RemoteModel
from coupler.interface.errors import ConfigError
from coupler.where import Place
from physics.surface.bucket import Bucket
from physics.surface.slab import Slab


def placed(name: str, cls: type) -> object:
    place = Elsewhere.__new__(Elsewhere)
    place._case = SimpleNamespace(where={name: Place(at="mpi")}, **{name: SimpleNamespace(lag=0)})
    place._parallel = SimpleNamespace(services={name: None})
    place.remotes = {}
    return place.model(name, cls(cls.Parameters()))


def test_a_model_that_shares_cells_stays_where_the_others_are() -> None:
    with pytest.raises(
        ConfigError,
        match=r"a model that shares its cells with others, on a rank of its own: where.land; "
        r"expected inline; found mpi; leave it inline",
    ):
        placed("land", Bucket)


def test_a_surface_of_its_own_can_go() -> None:
    assert isinstance(placed("surface", Slab), RemoteModel)

"""One small emulator for all tests here: trained for a moment, on uneven sizes."""

from pathlib import Path

import pytest
import torch
from synthetic_columns import FLUXES, NAMES, columns, tensors, with_truth

from coupler.interface.grid import HybridLevels
from emulators.bundle import write_bundle
from emulators.domain import fit_domain
from emulators.networks import build
from emulators.schema import Architecture, BundleSpec, Levels, Provenance
from emulators.training.describe import describe
from emulators.training.fit import fit
from emulators.training.recipe import Optimizer, Recipe, Recording


@pytest.fixture(scope="session")
def levels() -> HybridLevels:
    return HybridLevels.named("hybrid13")


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(
        name="small",
        process="gravity_wave",
        bundle="small",
        train=[Recording(file="a.nc")],
        test=Recording(file="b.nc"),
        interval=10800.0,
        architecture=Architecture(name="column_mlp", config={"width": 23, "depth": 2}),
        optimizer=Optimizer(epochs=12, batch=256, learning_rate=5e-3),
    )


@pytest.fixture(scope="session")
def spec(levels: HybridLevels, recipe: Recipe) -> BundleSpec:
    c = with_truth(columns(2003, levels, 1), levels)
    own = Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist())
    provenance = Provenance(fingerprint="0" * 64, sources=[], seed=0)
    return describe(recipe, tensors(c, (*NAMES, *FLUXES)), own, provenance)


@pytest.fixture(scope="session")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    levels: HybridLevels,
    recipe: Recipe,
    spec: BundleSpec,
) -> Path:
    """A bundle, not to be changed."""
    names = (*NAMES, *FLUXES)
    train = tensors(with_truth(columns(2003, levels, 1), levels), names)
    later = tensors(with_truth(columns(301, levels, 2), levels), names)
    torch.manual_seed(0)
    network = build(spec)
    fit(network, spec, train, later, optimizer=recipe.optimizer, seed=0)
    some = tensors(columns(7, levels, 3))
    path = tmp_path_factory.mktemp("bundles") / "small"
    return write_bundle(path, spec, network, some, domain=fit_domain(spec, train))

r"""Fine-tuning through the dynamics: the network is judged by where the flow goes with it.

Offline a network is fitted to fluxes of states that are given. Here n steps of the flow are taken
with it and the error is that of the wind at their end, against the run with the scheme it emulates:

    x_{i+1} = M(x_i, r_i + g dF/dp),  F = net(x_i)
    loss    = mean_k  <(u_n - u*_n)^2 + (v_n - v*_n)^2>_k / s_k^2

with r_i what all other processes did in that run, < >_k the area mean at level k, and s_k^2 the
same with no drag at all in the place of the network's: 1 is a network that does nothing. The
gradient goes through all n steps, so that an error which grows is dearer than one that the flow
forgets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import Tensor

from coupler.interface.divergence import divergence
from coupler.interface.errors import ConfigError, UnstableError
from coupler.interface.grid import HybridLevels
from emulators.networks import Network
from emulators.schema import BundleSpec
from emulators.training.recipe import Online

Force = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""From columns ``[level, column]`` to tendencies ``[level, column]``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A few steps of the run with the scheme."""

    start: Tensor
    """State as the dynamics holds it."""
    others: list[Mapping[str, Tensor]]
    """Tendencies of all other processes at every step, [level, lat, lon]."""
    end: Mapping[str, Tensor]
    """``ua va`` after the last step, [level, lat, lon]."""


class Coupled(Protocol):
    """The flow, handed in because emulators do not know the dynamics."""

    gravity: float
    levels: HybridLevels
    gives: frozenset[str]
    """Names of what a network may see."""
    weights: Tensor
    """Area of the cells, [lat, lon]; the sum is 1."""

    def windows(self, online: Online, seed: int, number: int) -> list[Window]:
        """Windows of a run with the scheme, from a start that `seed` decides."""
        ...

    def march(self, window: Window, force: Force) -> Mapping[str, Tensor]:
        """``ua va`` at the end of a window with `force` beside the other processes."""
        ...


@dataclass(kw_only=True)
class Tuned:
    """What tuning did: root of the loss, so 1 is a network that does nothing."""

    before: float
    """On held-out starts."""
    after: float
    history: list[float] = field(default_factory=list)
    """On validation windows, epoch by epoch; the first is before any."""


def force_of(network: Network, spec: BundleSpec, gravity: float) -> Force:
    """The network as a force on the flow: fluxes, and their divergence over the host's layers."""

    def force(columns: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        fluxes = network({c.name: columns[c.name] for c in spec.inputs})
        return {
            o.of: divergence(
                fluxes[o.name],
                columns["phalf"],
                top=o.top,
                dump_above=o.dump_above,
                scale=gravity,
            )
            for o in spec.outputs
        }

    return force


def none(columns: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """No force at all."""
    return {}


class OnlineLoss:
    """Error at the end of a window relative to that without the process, level by level."""

    def __init__(self, coupled: Coupled, windows: Sequence[Window]) -> None:
        """Measures what the process does in `windows`."""
        self.coupled = coupled
        with torch.no_grad():
            size = sum(
                (self.square(coupled.march(w, none), w) for w in windows), torch.zeros(())
            ) / len(windows)
        # A level that the process hardly reaches shall not rule the loss.
        self.per_scale = 1.0 / size.clamp_min(1e-3 * float(size.max()))

    def square(self, end: Mapping[str, Tensor], window: Window) -> Tensor:
        """Area mean of the squared error of both winds [m2 s-2], shape [level]."""
        parts = [(end[n] - window.end[n]).square() * self.coupled.weights for n in ("ua", "va")]
        return torch.stack(parts).sum(dim=(0, 2, 3))

    def __call__(self, force: Force, window: Window) -> Tensor:
        """The loss of one window."""
        square = self.square(self.coupled.march(window, force), window)
        return (square * self.per_scale).mean()

    def over(self, force: Force, windows: Sequence[Window]) -> float:
        """Root of the mean loss of `windows`."""
        with torch.no_grad():
            return math.sqrt(sum(float(self(force, w)) for w in windows) / len(windows))


def refuse_cut_gradients(network: Network, spec: BundleSpec, online: Online) -> None:
    """More than one step needs the gradient through the state that the network itself made.

    Raises:
        ConfigError: for a network whose inputs it does not reach.
    """
    if online.steps > 1 and not network.differentiable_in_inputs:
        raise ConfigError.of(
            "cannot train through steps of the flow with a network that is not differentiable in "
            "its inputs",
            f"{spec.name}: {spec.architecture.name}",
            expected="an architecture whose every operation is, column_conv",
            found=f"online.steps: {online.steps}",
            remedy="use column_conv, or set online.steps to 1",
        )


def tune(
    network: Network,
    spec: BundleSpec,
    coupled: Coupled,
    online: Online,
    *,
    seed: int,
    console: Console | None = None,
) -> Tuned:
    """Tunes `network` in place; it ends with the weights that validated best.

    Args:
        network: fitted offline; what of it is frozen stays so. Differentiable in its inputs, if
            there is more than one step.
        spec: of its bundle.
        coupled: the flow.
        online: how.
        seed: of the order of windows and of dropout.
        console: where progress goes.

    Raises:
        ConfigError: for a network whose inputs the gradient does not reach.
        UnstableError: when the loss is not finite.
    """
    refuse_cut_gradients(network, spec, online)
    console = console or Console(quiet=True)
    made = coupled.windows(online, online.seed, online.windows)
    held_out = coupled.windows(online, online.test_seed, online.held_out)
    later = max(1, len(made) // 4)
    train, validation = made[:-later], made[-later:]
    loss_of, force = OnlineLoss(coupled, train), force_of(network, spec, coupled.gravity)
    trained = [p for p in network.parameters() if p.requires_grad]
    adam = torch.optim.Adam(trained, lr=online.learning_rate)
    network.eval()
    best = loss_of.over(force, validation)
    weights = _copied(network)
    result = Tuned(before=loss_of.over(force, held_out), after=math.nan, history=[best])
    console.print(
        f"online: {online.steps} steps, {len(train)} windows; error before {best:.4f} of that "
        "without the process"
    )
    torch.manual_seed(seed)
    for epoch in range(online.epochs):
        network.train()
        for i in torch.randperm(len(train)).tolist():
            adam.zero_grad()
            loss = loss_of(force, train[i])
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, online.clip)
            adam.step()
        network.eval()
        value = loss_of.over(force, validation)
        if not math.isfinite(value):
            raise UnstableError.of(
                "the online loss is not finite",
                f"{spec.name}: epoch {epoch + 1}",
                remedy="use a smaller learning rate or fewer steps",
            )
        result.history.append(value)
        if value < best:
            best, weights = value, _copied(network)
        console.print(f"epoch {epoch + 1:3d}  online error {value:.4f}")
    network.load_state_dict(weights)
    result.after = loss_of.over(force, held_out)
    console.print(
        f"held-out starts: online error {result.before:.4f} before, {result.after:.4f} after"
    )
    return result


def _copied(network: Network) -> dict[str, Any]:
    return {k: v.detach().clone() for k, v in network.state_dict().items()}

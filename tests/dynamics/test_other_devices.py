"""Steps on other devices than the CPU: refused where it cannot be, made for it where it can."""

import pytest
import torch

from coupler.interface.constants import Planet
from coupler.interface.grid import HybridLevels
from physics.dynamics.atmosphere import SpectralParameters
from physics.dynamics.core import DynamicalCore
from physics.dynamics.unroll import unroll


@pytest.mark.parametrize("stepper", ["leapfrog", "sil3"])
@pytest.mark.parametrize("members", [(), (3,)])
def test_differentiable_steps_never_leave_the_device_of_their_core(
    stepper: str, members: tuple[int, ...]
) -> None:
    # torch's device "meta" has shapes but no numbers: whatever reads numbers, or joins a tensor of
    # the CPU to one of the device, raises there as it would on a GPU.
    core = DynamicalCore(
        truncation=10, levels=HybridLevels.sigma(5), planet=Planet(), dt=900.0,
        dtype=torch.float32, tracers=1, stepper=stepper, device="meta",
    )  # fmt: skip
    shape = (*members, *core.transform.spectral_shape(core.equations.fields))
    spec = torch.zeros(shape, device="meta", requires_grad=True)
    after = unroll(core, spec, 2)
    after.square().sum().backward()
    assert after.shape == shape
    assert after.device.type == "meta"
    assert spec.grad is not None
    assert spec.grad.device.type == "meta"


def test_the_run_of_a_case_on_a_gpu_is_refused_in_one_sentence() -> None:
    assert SpectralParameters().device == "cpu"
    with pytest.raises(ValueError, match="no such device for a run: schemes and output share"):
        SpectralParameters(device="cuda")

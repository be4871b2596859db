"""The page docs/differentiable.md: its code runs from top to bottom and does what it says."""

import re
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "differentiable.md").read_text()


def test_the_code_of_the_page_runs_and_gives_what_the_page_says(capsys) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/differentiable.md", "exec"), names)
    said = capsys.readouterr().out
    assert "torch.Size([11, 2, 16, 12])" in said and "torch.Size([3, 11, 2, 16, 12])" in said
    drag = names["drag"]
    assert (drag.rate.grad < 0.0).all()  # more drag, less energy
    assert names["members"].grad.shape == (3, 11, 2, 16, 12)
    assert names["members"].grad.abs().max() > 0.0
    assert names["x"].grad.isfinite().all() and names["x"].grad.abs().max() > 0.0
    # The loop over an ensemble is the unrolled run before it.
    ensemble, end = names["ensemble"].coefficients(), names["end"].detach()
    scale = end.abs().amax((0, 1, 2, 4), keepdim=True)
    assert torch.all((ensemble - end).abs() <= 1e-10 * scale)


def test_the_commands_and_files_that_the_page_names_exist() -> None:
    for path in re.findall(r"`?(?:python )?((?:benchmarks|tests)/[\w/]+\.py)`?", PAGE):
        assert (ROOT / path).is_file(), path

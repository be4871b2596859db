"""What is significant in a scorecard, is so for the whole card."""

import numpy as np

from coupler.compare import starts
from coupler.compare.statistics.significance import paired


def test_chance_colours_no_cell_of_a_card() -> None:
    rng, days = np.random.default_rng(4), np.arange(1.0, 5.0)
    cells = [("ta", 100.0 * p, "globe") for p in range(60)]
    clear, members = cells[7], range(6)

    def parting(shift: float) -> starts.Parting:
        values = {c: np.full(4, 5.0 + rng.standard_normal() + shift * (c == clear)) for c in cells}
        return starts.Parting(days=days, globe={}, cells=values)

    worse, usual = ({m: parting(shift) for m in members} for shift in (40.0, 0.0))
    card = starts.scorecard(worse, usual)
    alone = [
        paired([usual[m].cells[c][2] - worse[m].cells[c][2] for m in members])[3] for c in cells
    ]
    assert sum(p <= 0.05 for p in alone) > 1, "chance alone finds some"
    told = {key for key, row in card.items() if any(c.significant for c in row.values())}
    assert told == {clear}

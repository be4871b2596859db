"""Numbers as people write them."""

from __future__ import annotations

import math
from typing import Any


def number(value: Any) -> str:
    """A number with four significant digits and a true minus sign; other things as text."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0.0 else "−∞"
    if isinstance(value, int):
        return str(value).replace("-", "−")
    size = abs(value)
    if size != 0.0 and (size < 1e-3 or size >= 1e5):
        text = f"{value:.2e}"
    else:
        text = f"{value:.{max(0, 3 - math.floor(math.log10(size)) if size else 1)}f}"
    return text.replace("-", "−")


def signed(value: float) -> str:
    """A difference: always with its sign."""
    return number(value) if value < 0 or not math.isfinite(value) else f"+{number(value)}"

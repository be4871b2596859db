"""``python -m coupler.compare.alone PART.json``: one part of an analysis in its own process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from coupler.interface.errors import CouplerError
from coupler.parallel import threads


def main(argv: Sequence[str]) -> int:
    """Computes the part and keeps its answer; the exit status is 2 where there is none."""
    threads.prepare()  # before anything is imported that has threads
    from coupler.compare.parts import make, ordered

    try:
        make(ordered(Path(argv[0])))
    except CouplerError as error:
        print(error.problems[0])
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

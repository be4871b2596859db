"""The evaluation ladder: how good a bundle is offline, from a plain R2 to how it responds."""

from emulators.evaluation.ladder import Evaluation, Truth, evaluate

__all__ = ["Evaluation", "Truth", "evaluate"]

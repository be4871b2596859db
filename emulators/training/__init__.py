"""Record, fit, measure, bundle: what `isthmus train RECIPE.yaml` does."""

from emulators.training.train import Record, train

__all__ = ["Record", "train"]

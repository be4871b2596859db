"""Record, fit, measure, bundle: what `isthmus train RECIPE.yaml` does."""

from emulators.training.train import Record, train, train_seeds

__all__ = ["Record", "train", "train_seeds"]

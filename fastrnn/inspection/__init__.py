"""Looking at what a network has learned: numbers first, pictures of them second (extra ``plot``)."""

from ._attention import plot_attention
from ._learning_curve import plot_learning_curve
from ._over_time import ConfusionOverTime, confusion_over_time, plot_confusion_over_time

__all__ = [
    "ConfusionOverTime",
    "confusion_over_time",
    "plot_attention",
    "plot_confusion_over_time",
    "plot_learning_curve",
]

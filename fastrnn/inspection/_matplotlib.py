"""The optional package that draws."""


def axes_or_new(ax):
    """Return `ax`, or where it is None the Axes of a new figure."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install fastrnn[plot]") from error
    return pyplot.subplots(layout="constrained")[1]

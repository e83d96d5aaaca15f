"""A dict whose keys are attributes too."""


class Bunch(dict):
    """What loaders return: a dict with attribute access, as in scikit-learn.

    Examples
    --------
    >>> from fastrnn.datasets import Bunch
    >>> Bunch(n=3).n
    3
    """

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"Bunch has no entry {name!r}, only {', '.join(map(repr, self))}") from None

    def __dir__(self):
        return [*super().__dir__(), *self]

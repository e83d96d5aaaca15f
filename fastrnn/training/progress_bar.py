"""A tqdm bar, or nothing."""


class _Silent:
    """A progress bar that shows nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def update(self, n):
        """Do nothing."""

    def set_postfix(self, refresh=True, **values):
        """Do nothing."""


def progress_bar(total, done, verbose):
    """Return a context that gives a bar of ``total`` epochs, of which ``done`` are complete."""
    if not verbose:
        return _Silent()
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, desc="fit", unit="epoch")

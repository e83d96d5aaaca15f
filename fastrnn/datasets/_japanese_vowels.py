"""Nine speakers saying two vowels: sequences of different lengths, real and small."""

from importlib import resources

import numpy as np

from ._bunch import Bunch


def load_japanese_vowels(*, return_X_y=False, dtype="float32"):
    """Load the JapaneseVowels speech data: which of nine men speaks?

    Each sequence is one utterance of the vowels /ae/, described by 12 coefficients (LPC cepstrum) a
    frame. 270 sequences are for training (30 a speaker), 370 for testing (24 to 88 a speaker);
    lengths are 7 to 29 frames.

    Parameters
    ----------
    return_X_y : bool
        Return a tuple instead of a Bunch.
    dtype : {"float32", "float64"}
        The source gives six decimals.

    Returns
    -------
    data : Bunch
        ``X_train``, ``X_test``: lists of ndarray of shape (n_timesteps_i, 12);
        ``y_train``, ``y_test``: ndarray of int64, speakers 1 to 9;
        ``target_names``: list of str; ``DESCR``: source and licence.
    (X_train, y_train, X_test, y_test) : tuple
        Where ``return_X_y`` is true.

    Notes
    -----
    Source: M. Kudo, J. Toyama and M. Shimbo (1999), "Multidimensional curve classification using
    passing-through regions", Pattern Recognition Letters 20 (11-13), 1103-1111; UCI Machine Learning
    Repository, doi 10.24432/C5NS47, CC BY 4.0. The paper reports 94.1 % on the test part.

    Examples
    --------
    >>> from fastrnn.datasets import load_japanese_vowels
    >>> data = load_japanese_vowels()
    >>> len(data.X_train), len(data.X_test), data.X_train[0].shape
    (270, 370, (20, 12))
    """
    folder = resources.files(__package__) / "data"
    parts = {}
    with (folder / "japanese_vowels.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        for part in ("train", "test"):
            values = (stored[f"x_{part}"] / 1e6).astype(dtype)
            ends = np.cumsum(stored[f"lengths_{part}"], dtype=np.int64)
            parts[f"X_{part}"] = [a.copy() for a in np.split(values, ends[:-1])]
            parts[f"y_{part}"] = stored[f"y_{part}"].astype(np.int64)
    if return_X_y:
        return parts["X_train"], parts["y_train"], parts["X_test"], parts["y_test"]
    description = (folder / "japanese_vowels.txt").read_text(encoding="utf-8")
    names = [f"speaker {k}" for k in range(1, 10)]
    return Bunch(**parts, target_names=names, DESCR=description)

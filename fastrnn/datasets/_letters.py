"""Letters: one word to be completed, and all words of three letters."""

from itertools import product
from string import ascii_lowercase

import numpy as np

VOWELS = "aeiou"


def hello():
    """The word «hello», letter by letter: the smallest language model.

    After the two l of «hell» come different letters, so that the last letter alone does not tell the next.
    Karpathy (2015), "The unreasonable effectiveness of recurrent neural networks".

    Returns
    -------
    X : ndarray of shape (1, 4, 4), float32
        One-hot over h, e, l, o: the letters h e l l.
    y : ndarray of int64 of shape (1, 4)
        Number of the letter that follows each: e l l o.

    Examples
    --------
    >>> from fastrnn.datasets import hello
    >>> X, y = hello()
    >>> "".join("helo"[k] for k in X[0].argmax(axis=1)), "".join("helo"[k] for k in y[0])
    ('hell', 'ello')
    """
    tokens = np.array(["helo".index(letter) for letter in "hello"])
    return np.eye(4, dtype=np.float32)[tokens[None, :-1]], tokens[None, 1:].astype(np.int64)


def three_letter_words():
    """All 17,576 words of three letters; the label is 1 where exactly one letter is a vowel.

    Returns
    -------
    words : list of str
        "aaa" to "zzz", in order.
    X : ndarray of int64 of shape (17576, 3)
        Number of each letter, 0 for a to 25 for z.
    y : ndarray of int64 of shape (17576,)
        1 where exactly one letter is one of a, e, i, o, u, else 0; 37.7 % are 1.

    Examples
    --------
    >>> from fastrnn.datasets import three_letter_words
    >>> words, X, y = three_letter_words()
    >>> words[7], X[7].tolist(), int(y[7]), int(y[words.index("cat")])
    ('aah', [0, 0, 7], 0, 1)
    """
    words = ["".join(letters) for letters in product(ascii_lowercase, repeat=3)]
    X = np.stack(np.unravel_index(np.arange(len(words)), (26, 26, 26)), axis=1).astype(np.int64)
    is_vowel = np.isin(X, [ascii_lowercase.index(vowel) for vowel in VOWELS])
    return words, X, (is_vowel.sum(axis=1) == 1).astype(np.int64)

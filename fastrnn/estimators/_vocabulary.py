"""Text as tokens and back: characters, bytes or words, and the indices of those that a fit has learned."""

import re
import unicodedata
from collections import Counter
from functools import cache

import numpy as np

LEVELS = ("character", "byte", "word")
UNKNOWN = 0  # the index of all that is not in the vocabulary
END = 1  # the index of what stands before and after each text
N_SPECIAL = 2
_MARKS = range(0x300, 0x20000)  # where combining marks are
_JOINERS = "\u200c\u200d"  # within words of Persian and of Indian scripts
_WITHIN_WORD = "_'’"  # beside letters and digits
_BYTES = tuple(bytes([k]) for k in range(256))


class Vocabulary:
    """The tokens of a language model, the most frequent first.

    Parameters
    ----------
    level : {"character", "byte", "word"}
    tokens : sequence of str, optional
        All that have an index of their own, from 2 on; of level "byte" the 256 of them, whatever is given.
    """

    def __init__(self, level, tokens=()):
        self.level = level
        self.tokens = _BYTES if level == "byte" else tuple(tokens)
        self.indices = {token: k for k, token in enumerate(self.tokens, N_SPECIAL)}

    @classmethod
    def learned(cls, level, texts, max_vocabulary, min_count):
        """The vocabulary of some texts, each a list of tokens.

        Tokens that come less than `min_count` times are left out, and all but the `max_vocabulary` most frequent; of
        equally frequent ones the first in order stay.
        """
        if level == "byte":
            return cls(level)
        counts = Counter()
        for text in texts:
            counts.update(text)
        found = [token for token, count in counts.items() if count >= min_count]
        found.sort(key=lambda token: (-counts[token], token))
        return cls(level, found[:max_vocabulary])

    def __len__(self):
        return N_SPECIAL + len(self.tokens)

    def encode(self, tokens):
        """Return the indices of tokens as a list."""
        return [self.indices.get(token, UNKNOWN) for token in tokens]

    def token(self, index):
        """Return the token of an index: text, or of level "byte" bytes."""
        return self.tokens[index - N_SPECIAL]

    def text(self, indices):
        """Return tokens as one str, words with a space between them; bytes that are no UTF-8 as surrogates."""
        tokens = [self.token(index) for index in indices]
        if self.level == "byte":
            return b"".join(tokens).decode("utf-8", "surrogateescape")
        return (" " if self.level == "word" else "").join(tokens)

    def within_words(self):
        """Return for each index whether its token belongs into a word: ndarray of bool of shape (n_tokens,)."""
        return np.array([False] * N_SPECIAL + [is_within_word(token[:1]) for token in self.tokens])


def split_text(level, text, name="X"):
    """Return the tokens of a text as a list.

    Parameters
    ----------
    level : {"character", "byte", "word"}
    text : str; of level "byte" also bytes, of level "word" also a sequence of str
        A str becomes its characters; its UTF-8 bytes; or its words and punctuation marks, without what is between
        them. A sequence of str is words already.
    name : str
        Of the argument, in errors.
    """
    if isinstance(text, str):
        if level == "word":
            return _word_pattern().findall(text)
        return list(text) if level == "character" else _as_bytes(_utf8(text, name))
    if level == "byte" and isinstance(text, bytes | bytearray | memoryview):
        return _as_bytes(bytes(text))
    if level == "word" and isinstance(text, list | tuple):
        strange = [word for word in text if not isinstance(word, str)]
        if not strange:
            return [str(word) for word in text]
        raise TypeError(f"{name} holds {strange[0]!r} ({type(strange[0]).__name__}), expected words, each a str")
    accepted = {"character": "str", "byte": "str or bytes", "word": "str or a list of words"}[level]
    raise TypeError(f"{name} is an object of type {type(text).__name__}, expected {accepted} with level={level!r}")


def unfinished_word(text):
    """Return (what comes before, the letters of a word at the end of a text, which may be none)."""
    end = len(text)
    while end and is_within_word(text[end - 1]):
        end -= 1
    while text[end : end + 1] in ("'", "’"):  # a quotation mark in front of it
        end += 1
    return text[:end], text[end:]


@cache
def _word_pattern():
    """Words and punctuation marks; accents and vowel signs that follow a letter belong to its word."""
    marks = "".join(filter(_is_mark, map(chr, _MARKS)))
    letters = rf"\w+(?:[{marks}]+\w*)*"
    return re.compile(rf"{letters}(?:['’]{letters})*|[^\w\s]")


def _is_mark(character):
    return unicodedata.category(character)[0] == "M" or character in _JOINERS


def _utf8(text, name):
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        strange = text[error.start]
        raise ValueError(f"{name} holds {strange!r} at character {error.start}, which UTF-8 has not") from None


def _as_bytes(data):
    return [_BYTES[value] for value in data]


def is_within_word(token):
    """Return whether a character, or a byte, is one of those that words are made of."""
    if isinstance(token, bytes):
        return token[0] >= 128 or token.isalnum() or token in (b"_", b"'")
    return token.isalnum() or token in _WITHIN_WORD or _is_mark(token)

"""Text that a language model writes: on from a beginning, or the next word."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._validation import check_size
from ..models.language import read_tokens
from ..models.sampling import TokenStream, pack_state, unpack_state
from ._completing import likeliest, spelled_words
from ._vocabulary import END, UNKNOWN, split_text, unfinished_word


class Writing:
    """What a fitted `RNNLanguageModel` does with its network, ``_trained``, and its ``_vocabulary``."""

    def generate(self, prefix="", n=None, temperature=1.0, top_k=None, top_p=None, random_state=None, state=None):
        """Write on: a stream of tokens, each drawn from the probabilities after all before it.

        Parameters
        ----------
        prefix : str, default=""
            What the text begins with; not given out. Of level "byte" also bytes, of level "word" also a list of words.
        n : int, optional
            How many tokens. None goes on until the text ends, and forever where ``fit`` had a single text.
        temperature : float, default=1.0
            Below 1 the likely becomes likelier; 0 takes the likeliest token always.
        top_k : int, optional
            Draw from the k likeliest tokens only.
        top_p : float, optional
            Draw from the smallest set of likeliest tokens whose probabilities sum to at least this.
        random_state : None, int, Generator or RandomState
        state : mapping of str to array_like, optional
            From where to go on, as `state_after` or the stream's ``state`` gave it; else from the beginning of a text.

        Returns
        -------
        GeneratedText
            An iterator over str, of level "byte" bytes. Joined they are the text, words with spaces between them.

        Examples
        --------
        A state is a dict of arrays: ``numpy.savez(path, **state)`` keeps it, ``state=numpy.load(path)`` goes on.

        >>> import warnings
        >>> from fastrnn import RNNLanguageModel
        >>> warnings.simplefilter("ignore")  # 2 epochs are few
        >>> model = RNNLanguageModel((8,), max_iter=2, random_state=0).fit("to be or not to be")
        >>> text = model.generate("to", 4, temperature=0)
        >>> first = "".join(text)
        >>> first + "".join(model.generate(n=4, temperature=0, state=text.state)) == "".join(
        ...     model.generate("to", 8, temperature=0)
        ... )
        True
        """
        start = self._start(prefix, state)
        stream = TokenStream(
            self._trained,
            *start,
            n=n,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            barred=(UNKNOWN,) if self._ends else (UNKNOWN, END),
            end=END if self._ends else None,
            random_state=random_state,
        )
        return GeneratedText(stream, self._vocabulary)

    def state_after(self, prefix, state=None):
        """Return what the model knows after a text, for `generate` and `complete` to go on from.

        Parameters
        ----------
        prefix, state
            As in `generate`.

        Returns
        -------
        dict of str to ndarray
            ``log_probabilities`` of the next token, and of recurrent layer k ``h_k``, and ``c_k`` where it has cells.
        """
        return pack_state(*self._start(prefix, state))

    def complete(self, prefix="", k=5, state=None):
        """Return the likeliest next words, or completions of the word that the text ends in.

        Parameters
        ----------
        prefix : str, default=""
            Where it ends in a letter, its last letters begin a word, which may also end there.
        k : int, default=5
        state : mapping of str to array_like, optional
            As in `generate`.

        Returns
        -------
        list of (str, float)
            At most k whole words and their probabilities, given the text and that a word with these letters comes;
            likeliest first. Of level "word" words of the vocabulary; else they are spelled letter by letter, within a
            beam of 64 beginnings, or 4 k.
        """
        k = check_size("k", k)
        check_is_fitted(self)
        if self._level == "word":
            return self._complete_from_vocabulary(prefix, k, state)
        if not isinstance(prefix, str):
            prefix = b"".join(split_text(self._level, prefix, "prefix")).decode("utf-8", "surrogateescape")
        begun = unfinished_word(prefix)[1]
        log_p, states = self._start(prefix, state)
        vocabulary = self._vocabulary
        options = {"begun": bool(begun), "n_threads": self.n_threads}
        found = spelled_words(self._trained, log_p, states, vocabulary.within_words(), k, **options)
        return [(begun + vocabulary.text(letters), p) for letters, p in found]

    def _complete_from_vocabulary(self, prefix, k, state):
        before, begun = unfinished_word(prefix) if isinstance(prefix, str) else (prefix, "")
        vocabulary = self._vocabulary
        fits = np.array([False, False, *(token.startswith(begun) for token in vocabulary.tokens)])
        candidates = np.flatnonzero(fits & vocabulary.within_words())
        log_p, _ = self._start(before, state)
        return [(vocabulary.token(index), p) for index, p in likeliest(log_p, candidates, k)]

    def _start(self, prefix, state):
        """Return the log probabilities of the token after a prefix, and the states of the recurrent layers."""
        check_is_fitted(self)
        indices = self._vocabulary.encode(split_text(self._level, prefix, "prefix"))
        log_p = states = None
        if state is None:
            indices = [END, *indices]
        else:
            log_p, states = unpack_state(self._trained, state)
        if indices:
            tokens = np.array(indices, dtype=np.int64)[:, None]
            rows, states = read_tokens(self._trained, tokens, states, n_threads=self.n_threads)
            log_p = rows[0]
        return log_p, states


class GeneratedText:
    """A stream of tokens as text; made by `RNNLanguageModel.generate`."""

    def __init__(self, stream, vocabulary):
        self._stream, self._vocabulary = stream, vocabulary

    def __iter__(self):
        return self

    def __next__(self):
        return self._vocabulary.token(next(self._stream))

    @property
    def state(self):
        """What the model knows after the tokens so far: a dict of arrays, for `RNNLanguageModel.generate`."""
        return self._stream.state

"""Networks that the tests of Network share."""

import fastrnn
from fastrnn.layers import Activation, AttentionPool, LayerNorm


def tagger(bidirectional=True):
    width = 10 if bidirectional else 5
    return fastrnn.Sequential(
        LayerNorm(3),
        fastrnn.LSTM(3, 6, random_state=0),
        fastrnn.GRU(6, 5, bidirectional=bidirectional, random_state=1),
        fastrnn.Dense(width, 4, random_state=2),
        Activation("sigmoid"),
    )


def speller():
    return fastrnn.Sequential(
        fastrnn.Embedding(7, 3, random_state=0), fastrnn.GRU(3, 5, random_state=1), fastrnn.Dense(5, 7, random_state=2)
    )


def classifier(pool="last"):
    pool = AttentionPool(10, random_state=5) if pool == "attention" else fastrnn.Pool(pool)
    gru = fastrnn.GRU(3, 5, bidirectional=True, random_state=1)
    return fastrnn.Sequential(gru, pool, fastrnn.Dense(10, 4, random_state=2))

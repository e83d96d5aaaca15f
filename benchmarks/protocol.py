"""How times are taken: peers in turn, in blocks, the best of many, and only while the machine runs at one speed.

After a call, the idle workers of most thread pools spin for some 10 ms before they sleep. So a peer gets a block of its
own, whose beginning is not counted; and since clocks, neighbours and caches come and go, blocks of all peers are
interleaved, and the best block counts.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import limits

BLOCKS = 20
BLOCK_SECONDS = 0.060  # threads that woke on one core need some time to come apart
WARM_SECONDS = 0.015
GROUP_SECONDS = 0.000_2  # calls between two looks at the clock
STEADY = 0.05  # by how much the peak before and after a measurement may differ
QUIET = 0.1  # processors that other processes may use meanwhile
ATTEMPTS = 3


@dataclass
class Timing:
    """Seconds a call of one peer: the mean of the counted calls of each block."""

    blocks: list = field(default_factory=list)

    @property
    def best(self):
        """The figure: the fastest block."""
        return min(self.blocks)


@dataclass
class Measurement:
    """What `measure` gives."""

    seconds: dict  # by peer
    peak: float  # of multiply-adds, before or after
    drift: float  # how much of the peak came or went
    others: float = 0.0  # processors that other processes used

    @property
    def steady(self):
        """Whether the clock stood still."""
        return not self.drift > STEADY

    @property
    def quiet(self):
        """Whether this process had the machine to itself."""
        return self.others <= QUIET


def _group_size(call):
    """Run `call` and return how many calls take about GROUP_SECONDS."""
    call()
    begin = time.perf_counter()
    call()
    return max(1, int(GROUP_SECONDS / max(time.perf_counter() - begin, 1e-7)))


def block(call, group=1):
    """Run one block and return the mean seconds of its counted calls.

    Counted is what starts after WARM_SECONDS and after the first call; the block ends after BLOCK_SECONDS, with at
    least one counted group.
    """
    clock = time.perf_counter
    begin = clock()
    call()
    while clock() - begin < WARM_SECONDS:
        for _ in range(group):
            call()
    counted, start = 0, clock()
    while True:
        for _ in range(group):
            call()
        counted += group
        now = clock()
        if now - begin >= BLOCK_SECONDS:
            return (now - start) / counted


def interleave(calls, prepare=None, n_blocks=BLOCKS):
    """Return {name: Timing} of `calls`, a dict of callables, taken in turn for `n_blocks` rounds.

    Parameters
    ----------
    calls : dict of str to callable
    prepare : dict of str to callable, optional
        Run ahead of each block, not timed: thread settings.
    n_blocks : int
    """
    prepare = prepare or {}
    groups = {}
    for name, call in calls.items():
        prepare.get(name, int)()
        groups[name] = _group_size(call)
    timings = {name: Timing() for name in calls}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(n_blocks):
            for name, call in calls.items():
                prepare.get(name, int)()
                timings[name].blocks.append(block(call, groups[name]))
            gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    return timings


def _used_by_others():
    """Return seconds of all processors that went to other processes until now; 0 where Linux does not tell."""
    try:
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0.0
    used = sum(fields[:8]) - fields[3] - fields[4]  # all but idle and waiting
    own = os.times()
    return used / os.sysconf("SC_CLK_TCK") - own.user - own.system


def measure(calls, prepare=None, n_threads=1, dtype="float32", n_blocks=BLOCKS, attempts=ATTEMPTS):
    """Time `calls` while the peak of multiply-adds stands still.

    Parameters
    ----------
    calls, prepare, n_blocks
        As in `interleave`.
    n_threads, dtype
        Of the peak that is measured before and after.
    attempts : int
        A measurement around which the peak differs by more than STEADY is thrown away and taken again, so often at
        most; the last one is returned with `steady` False.

    Returns
    -------
    Measurement
    """
    for _ in range(attempts):
        before, start, begin = limits.fma_peak(dtype, n_threads), _used_by_others(), time.perf_counter()
        timings = interleave(calls, prepare, n_blocks)
        others = (_used_by_others() - start) / (time.perf_counter() - begin)
        after = limits.fma_peak(dtype, n_threads)
        drift = abs(before - after) / max(before, after)
        seconds = {name: timing.best for name, timing in timings.items()}
        result = Measurement(seconds, max(before, after), drift, others)
        if result.steady:
            break
    return result


def median_of_runs(runs):
    """Return one Measurement whose figures are the medians over several."""
    seconds = {name: median(run.seconds[name] for run in runs) for name in runs[0].seconds}
    peak, drift, others = (max(getattr(run, name) for run in runs) for name in ("peak", "drift", "others"))
    return Measurement(seconds, peak, drift, others)

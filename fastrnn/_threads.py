"""How many threads a call uses, and BLAS held at one thread while it runs inside ours."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

from ._core import native
from ._validation import check_size

# Multiply-adds (some 0.2 ms) below which another thread does not pay: it must be woken, and where a neighbour holds
# its core, everybody waits for it at the end of each parallel region.
WORK_PER_THREAD = 1_600_000

QUOTA_SECONDS = 1.0  # for which a quota that was read is believed: opening its file takes 0.1 ms, as much as a call

_quota_read = (-QUOTA_SECONDS, None)  # when, and what it was
_chosen = None  # by set_num_threads
_after_fork = False


def available_cpus():
    """Return how many processors this process may use: its affinity, and its control group's quota."""
    global _quota_read
    cpus, now = _affinity(), time.monotonic()
    if now - _quota_read[0] >= QUOTA_SECONDS:
        _quota_read = (now, _quota())
    return max(1, min(cpus, _quota_read[1] or cpus))


def _affinity():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _quota():
    """The CPU quota of the control group, rounded up to whole processors, or None."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return None if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        with (
            open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as quota,
            open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as period,
        ):
            quota, period = int(quota.read()), int(period.read())
        return None if quota <= 0 else -(-quota // period)
    except (OSError, ValueError):
        return None


def _environment():
    """The first number of OMP_NUM_THREADS, or None."""
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(text)) if text.isdigit() else None


def get_num_threads():
    """Return the largest number of threads that a call without `n_threads` uses.

    Returns
    -------
    int
        What `set_num_threads` was given; else OMP_NUM_THREADS; else the processors that this process may use
        (affinity and control group). No more than what threadpoolctl has limited OpenMP to; 1 in a process that was
        forked, where OpenMP's threads are gone.

    Examples
    --------
    >>> import fastrnn
    >>> fastrnn.get_num_threads() >= 1
    True
    """
    if _after_fork:
        return 1
    most = _chosen or _environment() or available_cpus()
    return min(most, _openmp_limit() or most)


def _openmp_limit():
    """What the calling thread has limited OpenMP to (threadpoolctl, joblib), or None where it has not."""
    threads = native.openmp_threads()
    return threads if threads < (_environment() or _affinity()) else None


def set_num_threads(n_threads):
    """Set the largest number of threads that a call without `n_threads` uses.

    Parameters
    ----------
    n_threads : int or None
        At least 1; None goes back to what the environment and the machine say.

    Examples
    --------
    >>> import fastrnn
    >>> fastrnn.set_num_threads(1)
    >>> fastrnn.get_num_threads()
    1
    >>> fastrnn.set_num_threads(None)
    """
    global _chosen
    _chosen = None if n_threads is None else check_size("n_threads", n_threads)


def resolve(n_threads, work, pieces):
    """Return the number of threads for a call.

    Parameters
    ----------
    n_threads : int or None
        The most that the caller allows; None for `get_num_threads()`.
    work : float
        Multiply-adds of the call.
    pieces : int
        Into how many independent parts the work can be dealt out.
    """
    most = get_num_threads() if n_threads is None else check_size("n_threads", n_threads)
    if _after_fork or most == 1:
        return 1
    return max(1, min(most, pieces, int(work / WORK_PER_THREAD)))


def _forget_threads():
    """In a forked child OpenMP's threads are gone, and a parallel region would wait for them for ever."""
    global _after_fork, _blas_lock, _blas_users, _blas_limit
    _after_fork = True
    _blas_lock, _blas_users, _blas_limit = threading.Lock(), 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit = None
_controller = None


@contextmanager
def single_threaded_blas():
    """Hold every BLAS library of this process at one thread; the last of concurrent users restores what was set."""
    global _blas_users, _blas_limit, _controller
    with _blas_lock:
        if _blas_users == 0:
            if _controller is None:
                from threadpoolctl import ThreadpoolController

                _controller = ThreadpoolController()
            _blas_limit = _controller.limit(limits=1, user_api="blas")
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()
                _blas_limit = None

"""Models that packages ship, beside the code that they ship with: ``python -m benchmarks.real_models [FOLDER]``.

Their files are taken from FOLDER, or downloaded with pip into it, or into a temporary one. Results are compared before
times are taken; both stand in one table.
"""

from .g2p_en import Speller, own_loop

__all__ = ["Speller", "own_loop"]

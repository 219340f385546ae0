# SPDX-License-Identifier: Apache-2.0
"""Vocabularies that come with the library."""

from __future__ import annotations

from pathlib import Path

from .vocabulary import Vocabulary

SIFT = "trouvaille-sift/rootsift/uint8/128"

# Where each came from is said in docs/words.md.
_FILES = {SIFT: "sift_16384.words"}


def has_ready_vocabulary(fingerprint: str) -> bool:
    """Say whether words of a descriptor come with the library."""
    return fingerprint in _FILES


def ready_vocabulary(fingerprint: str = SIFT) -> Vocabulary:
    """Open the vocabulary that comes with the library: 16,384 words of RootSIFT, in bytes.

    It was learned on 288 photos of groceries, under the MIT licence. Photos of other things are
    found by its words nearly as well as by words of their own; docs/words.md says how well.

    Parameters
    ----------
    fingerprint : str
        Names the descriptor.

    Returns
    -------
    Vocabulary

    Raises
    ------
    ValueError
        If no vocabulary of that descriptor comes with the library.

    Examples
    --------
    >>> ready_vocabulary()
    Vocabulary(num_words=16384, fingerprint='trouvaille-sift/rootsift/uint8/128')
    """
    if fingerprint not in _FILES:
        raise ValueError(
            f"no vocabulary of descriptor {fingerprint!r} comes with the library, only of "
            f"{', '.join(map(repr, _FILES))}; learn one with Vocabulary.learn(photos, num_words)"
        )
    return Vocabulary.load(Path(__file__).with_name(_FILES[fingerprint]))

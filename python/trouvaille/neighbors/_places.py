# SPDX-License-Identifier: Apache-2.0
"""How much a search must look at to fill its places."""

from __future__ import annotations

from .. import _check


def checks_for(checks: int | None, k: int) -> int | None:
    """Return `checks`, or enough to meet `k` points."""
    return None if checks is None else max(_check.count(checks, "checks"), _check.count(k, "k"))

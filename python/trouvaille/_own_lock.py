# SPDX-License-Identifier: Apache-2.0
"""Objects that threads share under a lock, and that can be copied all the same."""

from __future__ import annotations

import threading
from typing import Any


class OwnLock:
    """What has a lock, `_lock`: each copy, in whatever process, has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

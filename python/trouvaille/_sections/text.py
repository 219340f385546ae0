# SPDX-License-Identifier: Apache-2.0
"""JSON as the index writes it: one form only, so that what is read back is what was meant."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def dump(value: Any) -> bytes:
    """Return `value` as JSON: sorted members, no spaces, no NaN."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def parse(data: bytes) -> Any:
    """Return the value of a JSON text; whatever is wrong with it is a ValueError."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from None


def plain(value: Any, name: str) -> Any:
    """Return a copy of `value`, which must be the same after being written and read."""
    try:
        copy = parse(dump(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be plain JSON values: {error}") from None
    if copy != value:
        raise ValueError(f"{name} must be plain JSON values (lists, text keys), got {value!r}")
    return copy


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("names a member twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}")

# SPDX-License-Identifier: Apache-2.0
"""What became of the photos that were to be added: one row a photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AddRow:
    """What became of one photo.

    Attributes
    ----------
    id : str
        The photo's id in the collection; that of an unnameable one with escapes.
    status : str
        ``"ok"``, or why it was not added: ``"unreadable"``, ``"too_large"``, ``"unsupported"``,
        ``"truncated"``, ``"empty"``, ``"missing"``, ``"forbidden"``, ``"unnameable"``: the file's
        name is no id, as it is not text that UTF-8 can hold; or what `deep.DescriptorRow` has where
        a network cannot describe a photo.
    n_features : int
        Local features kept. A photo without any is added all the same; no local feature will match
        it.
    error : str
        What is wrong, for a person; empty where nothing is.
    decode_seconds, extract_seconds, assign_seconds, describe_seconds : float
        Time spent on each step; describing, by a network, is shared by the photos that were
        described together.
    """

    id: str
    status: str
    n_features: int = 0
    error: str = ""
    decode_seconds: float = 0.0
    extract_seconds: float = 0.0
    assign_seconds: float = 0.0
    describe_seconds: float = 0.0


class AddReport(Sequence[AddRow]):
    """One row a photo, in the order given. `failed` lists those that were not added.

    `seconds` is how long it took; `notes` are what a person should know, such as where the network
    ran, and that a batch did not fit into the memory of a GPU.
    """

    def __init__(
        self, rows: Sequence[AddRow], seconds: float = 0.0, notes: tuple[str, ...] = ()
    ) -> None:
        self._rows = tuple(rows)
        self.seconds = seconds
        self.notes = notes

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._rows[index]

    def __iter__(self) -> Iterator[AddRow]:
        return iter(self._rows)

    def __repr__(self) -> str:
        counts = Counter(row.status for row in self._rows)
        listed = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        return f"<AddReport: {listed or 'no photos'}>"

    @property
    def n_added(self) -> int:
        """Number of photos added."""
        return sum(row.status == "ok" for row in self._rows)

    @property
    def failed(self) -> list[AddRow]:
        """The photos that could not be added."""
        return [row for row in self._rows if row.status != "ok"]

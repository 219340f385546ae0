# SPDX-License-Identifier: Apache-2.0
"""`trouvaille evaluate`: the quality of search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..collection import Collection
from ._app import app, out, plain, print_json, progress_bars


@app.command(epilog="Example: [bold]trouvaille evaluate photos.tv photos/gt.json[/bold]")
def evaluate(
    collection: Annotated[Path, typer.Argument(help="A collection made by `trouvaille index`.")],
    ground_truth: Annotated[
        Path, typer.Argument(help="gt.json; its photos' paths are relative to its folder.")
    ],
    verify: Annotated[int, typer.Option(help="Photos to verify by geometry.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Measure the quality of search on photos with known answers."""
    from ..collection.evaluate import evaluate as measure
    from ..evaluation import GroundTruth

    truth = GroundTruth.load(ground_truth)
    with Collection.open(collection) as opened, progress_bars() as progress:
        result = measure(
            opened,
            truth,
            ground_truth.parent,
            verify=verify,
            threads=threads,
            progress=progress,
        )
    if as_json:
        print_json(result.as_dict())
        return
    out.print(f"{plain(truth.name)}: {result.n_queries} queries, {result.n_photos} photos")
    table = Table(box=None, pad_edge=False)
    for column in ("", "mAP", "P@1"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("ranked", f"{result.first.mean_ap:.3f}", f"{result.first.precision_at_1:.3f}")
    if opened.settings.has_features:  # otherwise there is nothing to verify
        table.add_row(
            "verified", f"{result.verified.mean_ap:.3f}", f"{result.verified.precision_at_1:.3f}"
        )
    out.print(table)

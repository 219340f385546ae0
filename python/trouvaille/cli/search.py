# SPDX-License-Identifier: Apache-2.0
"""`trouvaille search`: a photo in, photos out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..collection import Collection, Hits
from ._app import app, out, plain, print_json


@app.command(
    epilog="Example: [bold]trouvaille search photos.tv query.jpg --box 120,80,640,420 "
    "--html found.html[/bold]"
)
def search(
    collection: Annotated[Path, typer.Argument(help="A collection made by `trouvaille index`.")],
    query: Annotated[Path, typer.Argument(help="The photo to search with.")],
    k: Annotated[int, typer.Option("-k", help="Number of results.")] = 10,
    box: Annotated[
        str | None, typer.Option(help="Search with this part only: x1,y1,x2,y2 in pixels.")
    ] = None,
    verify: Annotated[int, typer.Option(help="Photos to verify by geometry.")] = 100,
    html: Annotated[Path | None, typer.Option(help="Write a page that shows why.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Find the photos that show the same object as the query."""
    with Collection.open(collection) as opened:
        hits = opened.search(query, k, box=_parse_box(box), verify=verify, threads=threads)
        if html is not None:
            from ..collection import show

            title = f"{query.name} in {collection.name}"
            show.write_page(html, opened, [(query, hits)], title=title)
    if as_json:
        print_json(_as_json(query, hits))
    else:
        print_hits(query.name, hits)
        if html is not None:
            out.print(f"Page: {plain(html)}", soft_wrap=True)


def _parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected x1,y1,x2,y2, got {text!r}", param_hint="--box"
        ) from None
    return x1, y1, x2, y2


def _as_json(query: Path, hits: Hits) -> dict[str, Any]:
    from ..collection.show import region

    regions = [region(hit) for hit in hits]
    return {
        "query": str(query),
        "seconds": hits.seconds,
        "results": [
            {
                "rank": hit.rank,
                "id": hit.id,
                "score": hit.score,
                "verified_matches": hit.n_inliers,
                "transform": None if hit.transform is None else hit.transform.tolist(),
                "query_box": hit.query_box,
                "box": hit.box,
                "region": None if corners is None else corners.tolist(),
            }
            for hit, corners in zip(hits, regions, strict=True)
        ],
    }


def print_hits(title: str, hits: Hits, expected: tuple[str, ...] = ()) -> None:
    """Print the results of a query as a table, with the times of its stages."""
    table = Table(
        title=plain(title), title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in ("rank", "photo", "score", "verified matches"):
        table.add_column(column, justify="left" if column == "photo" else "right")
    for hit in hits:
        style = "green" if hit.n_inliers else "dim"
        mark = "  ← the other view" if hit.id in expected else ""
        count = str(hit.n_inliers) if hit.n_inliers else "-"
        table.add_row(str(hit.rank), plain(hit.id) + mark, f"{hit.score:.3f}", count, style=style)
    out.print(table)
    out.print(
        "  ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in hits.seconds.items()),
        style="dim",
    )
    out.print()

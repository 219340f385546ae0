# SPDX-License-Identifier: Apache-2.0
"""`trouvaille demo`: the whole way, on photos that are fetched for it or on one's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..collection import Collection, Hits
from ._app import FAILED, app, out, plain, progress_bars
from .index import print_report
from .search import print_hits


@app.command(epilog="Example: [bold]trouvaille demo[/bold]")
def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the demo keeps its photos and its page.")
    ] = Path("demo"),
    photos: Annotated[Path | None, typer.Option(help="A folder of your own photos.")] = None,
    query: Annotated[Path | None, typer.Option(help="A photo of your own to search with.")] = None,
) -> None:
    """Index demo photos (or one's own), search them, and write a page that shows the results."""
    if (photos is None) != (query is None):
        raise typer.BadParameter("--photos and --query go together")
    folder.mkdir(parents=True, exist_ok=True)
    if photos is not None and query is not None:
        _demo_on(folder, photos, {query: ()}, {})
        return
    from .. import demo_photos

    with progress_bars() as progress:
        fetched = demo_photos.fetch(folder / "photos", progress=progress)
    # Beside the second views, what looks alike and is not the same.
    lookalikes: dict[Path, tuple[str, ...]] = {
        fetched.database / name: () for name in demo_photos.LOOKALIKES
    }
    _demo_on(folder, fetched.database, {**fetched.queries, **lookalikes}, fetched.sources)


def _demo_on(
    folder: Path, photos: Path, queries: Mapping[Path, tuple[str, ...]], sources: Mapping[str, str]
) -> None:
    from ..collection import show

    path, page = folder / "photos.tv", folder / "results.html"
    if path.exists():  # the demo's own: made anew, so that the demo shows the whole way
        shutil.rmtree(path)
    results = []
    with Collection.create(path) as collection:
        with progress_bars() as progress:
            report = collection.add(photos, progress=progress)
        print_report(report, path)
        for query, expected in queries.items():
            itself = [query.name] if query.parent == photos else []
            hits = collection.search(query, exclude=itself)
            print_hits(query.name, hits, expected)
            results.append((query, hits))
        _print_sources(sources)
        show.write_page(page, collection, results, title="trouvaille", sources=sources)
    right = _print_summary(queries, dict(results))
    out.print(f"Page: {plain(page.resolve())}", soft_wrap=True)
    if not right:
        raise typer.Exit(FAILED)


def _print_summary(queries: Mapping[Path, tuple[str, ...]], results: Mapping[Path, Hits]) -> bool:
    """Say which second views were found, and what should not be; return whether all is right."""
    from ..demo_photos import LOOKALIKES

    verdicts: list[tuple[str, bool]] = []
    for query, expected in queries.items():
        found = {hit.id for hit in results[query] if hit.n_inliers}
        lookalike = LOOKALIKES.get(query.name)
        if expected:
            right = expected[0] in found
            verdict = "found" if right else "not found"
            verdicts.append((f"{query.name}: {expected[0]} {verdict}", right))
        elif lookalike and lookalike not in found:
            verdicts.append((f"{query.name}: {lookalike} kept apart", True))
        if expected or lookalike:
            verdicts += [
                (f"{query.name}: {mistake} taken for the same by mistake", False)
                for mistake in sorted(found - set(expected))
            ]
    if verdicts:
        out.print("Second views", style="bold")
        for text, right in verdicts:
            out.print(f"  {plain(text)}", style=None if right else "red")
        out.print()
    return all(right for _, right in verdicts)


def _print_sources(sources: Mapping[str, str]) -> None:
    if not sources:
        return
    table = Table(
        title="Where the photos come from", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("package")
    table.add_column("photos")
    by_package: dict[str, list[str]] = {}
    for photo, package in sorted(sources.items()):
        by_package.setdefault(package, []).append(photo)
    for package, members in by_package.items():
        table.add_row(plain(package), plain(", ".join(members)))
    out.print(table)

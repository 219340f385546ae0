# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not part of this copy", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import harness  # noqa: E402
import report  # noqa: E402


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "TROUVAILLE_BENCH_ROWS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def rows(monkeypatch, tmp_path):
    """The folder that rows are appended to."""
    monkeypatch.setenv("TROUVAILLE_BENCH_ROWS", str(tmp_path))
    return tmp_path


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `wait` moves."""
    now = [0.0]

    def wait(seconds):
        now[0] += seconds
        return seconds

    times = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr(harness, "time", times)
    return wait


def test_ratio_pairs_the_rounds():
    # The third round met a busy machine: medians of each (4 / 1) would say 4.
    assert harness.ratio([2.0, 4.0, 30.0], [1.0, 1.0, 10.0]) == 3.0


def test_every_contender_begins_a_round():
    assert harness._orders(["a", "b", "c"], 4) == [
        ["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


def test_compare_measures_time_ratio_and_quality(clock):
    seconds = iter([3, 3, 3, 3, 9, 3])  # another process held up the fifth call: the second round
    row = harness.compare(
        "wait",
        {"ours": lambda: clock(1), "peer": lambda: clock(next(seconds))},
        items=10,
        unit="ms/item",
        quality=lambda contender, result: {"seconds": result, "ours": contender == "ours"},
        repeats=3,
    )
    ours, peer = row["contenders"]["ours"], row["contenders"]["peer"]
    assert (ours["median"], ours["minimum"], ours["cpu"]) == (100, 100, 50)
    assert (peer["median"], peer["minimum"], peer["cpu"]) == (300, 300, 150)
    assert row["ratios"] == {"peer": 3}
    assert ours["quality"] == {"seconds": 1, "ours": True}
    assert peer["quality"] == {"seconds": 3, "ours": False}
    assert row["rounds"] == 3


def test_short_calls_are_repeated_to_be_measurable(clock):
    calls = []
    row = harness.compare("short", {"ours": lambda: calls.append(clock(1e-6))}, repeats=1)
    assert row["contenders"]["ours"]["median"] == pytest.approx(1.0)
    assert harness.SHORTEST_TIMING / 1e-6 < len(calls) < 4 * harness.SHORTEST_TIMING / 1e-6


def test_memory_is_the_peak_of_the_first_call():
    row = harness.compare(
        "allocate",
        {"ours": lambda: None, "peer": lambda: len(bytearray(b"1") * (64 << 20))},
        repeats=1,
        warmup=0,
    )
    memory = {name: entry["memory_mib"] for name, entry in row["contenders"].items()}
    if memory["peer"] is None:
        pytest.skip("this system does not tell")
    assert memory["peer"] > 60
    assert memory["ours"] < 20


def test_a_long_comparison_ends_after_the_round_that_is_too_much(clock):
    def rounds(seconds):
        call = {"ours": lambda: clock(seconds)}
        return harness.compare("long", call, repeats=9, warmup=0, max_seconds=1.0)["rounds"]

    assert rounds(0.2) == 4  # after the first call and the timing of one, at 0.4, 0.6, 0.8, 1.0
    assert rounds(10.0) == 1


def test_rows_are_kept_where_the_environment_says(rows):
    harness.record("photos", {"mAP": 0.5}, table="quality", bench="x", threads=3, notes="n")
    harness.compare("nothing", {"ours": int}, repeats=1, bench="x")
    first, second = map(json.loads, (rows / "x.jsonl").read_text().splitlines())
    assert (first["values"], first["threads"], first["notes"]) == ({"mAP": 0.5}, 3, "n")
    assert second["name"] == "nothing"
    for row in (first, second):
        assert row["cpu"]
        assert row["commit"]
        assert "numpy" in row["versions"]


def test_no_row_is_kept_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harness.record("photos", {"mAP": 0.5}, table="quality")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"])
def test_a_slowed_peer_is_refused(monkeypatch, variable):
    monkeypatch.setenv(variable, "Haswell")
    for measure in (
        harness.single_thread,
        lambda: harness.compare("x", {"ours": int}),
        lambda: harness.record("x", {}, table="t"),
    ):
        with pytest.raises(RuntimeError, match=variable):
            measure()


def test_single_thread_must_come_before_the_peers():
    import numpy as np  # noqa: F401

    with pytest.raises(RuntimeError, match=r"before the import of numpy"):
        harness.single_thread()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ours": "us"}, r"ours is 'us', which is none of \['ours'\]"),
     ({"unit": "h/query"}, "unit must begin with one of ns, us, ms, s")],
)  # fmt: skip
def test_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        harness.compare("x", {"ours": int}, **options)


def row(name, **changes):
    place = {"threads": 1, "isa": "avx2", "cpu": "C", "commit": "abc", "date": "2026-01-02T03:04"}
    return {"name": name, "notes": "", "versions": {"numpy": "2"}, **place, **changes}


def comparison(name, ratio, **changes):
    entry = {"median": 1234.5, "minimum": 2.0, "cpu": 0.001234, "memory_mib": None}
    contenders = {"ours": {**entry, "quality": {"recall": 0.98765}}, "faiss": entry}
    return row(name, unit="us/query", ours="ours", contenders=contenders,
               ratios={"faiss": ratio}, **changes)  # fmt: skip


def write(folder, bench, rows):
    (folder / f"{bench}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def test_report_shows_the_newest_row_of_each_name_and_instruction_set(tmp_path):
    rows = [comparison("a|b", 2.0), comparison("a|b", 3.0), comparison("a|b", 5.0, isa="avx512")]
    write(tmp_path, "words", rows)
    lines = [line for line in report.report(tmp_path).splitlines() if "faiss" in line]
    assert lines == [
        "| a\\|b | us/query | 1,234 (min 2, CPU 0.00123) | faiss | 1,234 (min 2, CPU 0.00123) "
        f"| {ratio} | recall 0.9877 |  |  |  | 1 | {isa} | C | abc | 2026-01-02 |"
        for ratio, isa in [("3", "avx2"), ("5", "avx512")]
    ]


def test_report_gathers_records_in_their_tables(tmp_path):
    write(tmp_path, "b", [row("books", table="mAP", values={"words": 0.86, "photos": 1402})])
    rows = [row("books", table="size", values={"bytes": 3}, notes="cold"),
            row("grocery", table="size", values={"seconds": 1.5})]  # fmt: skip
    write(tmp_path, "a", rows)
    page = report.report(tmp_path)
    assert page.startswith("# Results\n\nGenerated by `make bench`")
    assert page.index("## a") < page.index("## b")
    assert "### mAP\n\n| what | words | photos | threads |" in page
    assert "| books | 0.86 | 1,402 | 1 |" in page
    assert "| books | 3 |  | 1 |" in page
    assert "| grocery |  | 1.5 | 1 |" in page
    assert "- books: cold\n- Versions: numpy 2." in page


def test_report_of_no_rows_is_the_header(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    assert report.report(tmp_path) == report.HEADER


def test_the_command_runs_a_benchmark_and_writes_the_report(tmp_path):
    for name in ("__main__.py", "harness.py", "report.py"):
        shutil.copy(BENCHMARKS / name, tmp_path)
    good = "import harness\nharness.record('photos', {'mAP': 0.5}, table='quality')\n"
    (tmp_path / "bench_good.py").write_text(good)
    (tmp_path / "bench_bad.py").write_text("raise SystemExit(3)")

    def run(*stages):
        command = [sys.executable, str(tmp_path), *stages]
        environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    assert run("good").returncode == 0
    assert "| photos | 0.5 |" in (tmp_path / "RESULTS.md").read_text()
    everything = run()
    assert (everything.returncode, everything.stderr) == (1, "failed: bad\n")
    assert len((tmp_path / "rows" / "good.jsonl").read_text().splitlines()) == 2
    unknown = run("ugly")
    assert unknown.returncode == 2
    assert "no benchmark 'ugly'; there are bad, good" in unknown.stderr

# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from trouvaille import _core

ISAS = ["scalar", "avx2", "avx512"]


def run_python(code, **environment):
    """Run `code` in a new interpreter; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- import


def test_import_costs_nothing():
    code = """
        import sys, time
        begin = time.process_time()
        import trouvaille
        print(time.process_time() - begin)
        print(*sorted({name.partition(".")[0] for name in sys.modules}))
    """
    outputs = [run_python(code).splitlines() for _ in range(3)]
    loaded = set(outputs[0][1].split())
    assert "trouvaille" in loaded
    assert not loaded & {"numpy", "scipy", "cv2", "PIL", "torch", "typer", "rich"}
    assert min(float(seconds) for seconds, _ in outputs) < 0.05


# ---- instruction sets


def isas_of_this_cpu():
    """Read the instruction sets from the kernel's list of the CPU's flags."""
    if platform.machine() != "x86_64":
        return ["scalar"]
    flags = set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].split("\n")[0].split())
    isas = ["scalar"]
    if {"avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "popcnt", "sse4_2"} <= flags:
        isas.append("avx2")
        if {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl", "_vnni")} <= flags:
            isas.append("avx512")
    return isas


@pytest.mark.kernel
@pytest.mark.skipif(sys.platform != "linux", reason="the CPU's flags are read from /proc")
def test_isas_are_those_of_the_cpu():
    # An emulated CPU shows the flags of the real one in /proc: tests/emulate says what it has.
    expected = os.environ.get("TROUVAILLE_EXPECTED_ISAS")
    assert _core.isas() == (expected.split(",") if expected else isas_of_this_cpu())


@pytest.mark.kernel
def test_the_fastest_isa_is_chosen(monkeypatch):
    monkeypatch.delenv("TROUVAILLE_ISA", raising=False)
    _core.reset_isa()
    assert _core.active_isa() == _core.isas()[-1]


def test_use_isa_pins_every_kernel(isa):
    assert _core.active_isa() == isa


@pytest.fixture
def environment_isa(monkeypatch):
    """Set TROUVAILLE_ISA, as if before the first kernel ran."""

    def choose(name):
        monkeypatch.setenv("TROUVAILLE_ISA", name)
        _core.reset_isa()

    yield choose
    monkeypatch.undo()
    _core.reset_isa()


@pytest.mark.kernel
@pytest.mark.parametrize("name", _core.isas())
def test_environment_forces_an_isa(environment_isa, name):
    environment_isa(name)
    assert _core.active_isa() == name


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["AVX2", "sse9", *sorted(set(ISAS) - set(_core.isas()))])
def test_an_isa_that_cannot_run_is_an_error(environment_isa, name):
    environment_isa(name)
    for kernel in (_core.active_isa, lambda: _core.crc32c(b"")):
        with pytest.raises(ValueError, match=f"TROUVAILLE_ISA is '{name}'; this machine runs scal"):
            kernel()
    with pytest.raises(ValueError, match=name):
        _core.use_isa(name)


def test_environment_is_read_at_the_first_use():
    code = "from trouvaille import _core; print(_core.active_isa())"
    assert run_python(code, TROUVAILLE_ISA="scalar") == "scalar\n"
    assert run_python(code, TROUVAILLE_ISA="") == _core.isas()[-1] + "\n"


# ---- the pool of threads


@pytest.mark.parametrize("n", [0, 1, 2, 17, 1000])
@pytest.mark.parametrize("grain", [1, 8, 2000])
def test_pool_runs_every_item_in_whole_chunks(n, grain, threads):
    owners = _core.parallel_probe(n, grain, threads)
    assert owners.shape == (n,)
    assert (owners >= 0).all()
    for begin in range(0, n, grain):
        assert len(set(owners[begin : begin + grain])) == 1
    assert len(set(owners)) <= threads


def test_pool_uses_the_threads_asked_for(threads):
    owners = _core.parallel_probe(300, 1, threads, microseconds=1000)
    assert len(set(owners)) == threads


def test_pool_passes_an_exception_on(threads):
    for item in (0, 57, 99):
        with pytest.raises(RuntimeError, match=f"item {item}"):
            _core.parallel_probe(100, 10, threads, throw_at=item)
    assert (_core.parallel_probe(100, 10, threads) >= 0).all()


def test_pool_serves_several_python_threads_at_once():
    def call(n):
        return (_core.parallel_probe(n, 3, 1 + n % 4, microseconds=10) >= 0).all()

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(call, range(1, 200)))


def test_pool_works_after_fork():
    # In a process of its own: forking this one, which has threads, is deprecated.
    code = """
        import os, signal, threading, warnings
        from trouvaille import _core
        warnings.simplefilter("ignore", DeprecationWarning)
        _core.parallel_probe(100, 1, 4)
        busy = threading.Thread(target=_core.parallel_probe, args=(3000, 1, 4, 1000))
        busy.start()  # the pool works while the process forks
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # a child that hangs is killed, and its status is not 0
                owners = set(_core.parallel_probe(200, 1, 4, 1000))
                os._exit(0 if len(owners) == 4 and min(owners) >= 0 else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        busy.join()
        print((_core.parallel_probe(100, 1, 4) >= 0).all())
    """
    assert run_python(code).split() == ["0"] * 5 + ["True"]


def test_pool_lets_other_python_threads_run(threads):
    ticks = itertools.count()
    stop = threading.Event()

    def heart():
        while not stop.wait(0.002):
            next(ticks)

    thread = threading.Thread(target=heart)
    thread.start()
    begin = time.perf_counter()
    _core.parallel_probe(500, 1, threads, microseconds=1000 * min(threads, os.cpu_count() or 1))
    seconds = time.perf_counter() - begin
    stop.set()
    thread.join()
    assert seconds > 0.3
    assert next(ticks) / seconds >= 50


def test_a_daemon_thread_in_a_kernel_does_not_abort_the_exit():
    for microseconds, threads in [(1000, 1), (1000, 2), (20, 2)]:
        run_python(f"""
            import threading, time
            from trouvaille import _core
            _core.parallel_probe(1, 1, 1)

            class LastWords:  # the interpreter shuts down for a while, without the GIL
                def __del__(self, sleep=time.sleep): sleep(0.2)

            words = LastWords()
            work = lambda: _core.parallel_probe(5000, 1, {threads}, {microseconds})
            threading.Thread(target=work, daemon=True).start()
            time.sleep(0.03)
        """)


# ---- Ctrl-C

WORK = """
    import sys, threading, time
    from trouvaille import _core
    _core.parallel_probe(1, 1, 1)  # whatever is loaded at the first call is loaded now
    kernel = lambda: _core.parallel_probe(100_000, 1, {threads}, 1000)
    print("ready", flush=True)
    try:
        {call}
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
        again = _core.parallel_probe(10, 1, 2)  # still usable
        import os
        os._exit(0 if (again >= 0).all() else 3)
"""


def seconds_from_signal_to_exception(call, threads):
    code = textwrap.dedent(WORK).format(call=call, threads=threads)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.1)
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            seconds = float(process.stdout.readline()) - sent
            assert process.wait(20) == 0
            return seconds
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="needs POSIX signals and one monotonic clock")
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize(
    "call",
    [
        "kernel()",
        "worker = threading.Thread(target=kernel); worker.start(); worker.join()",
    ],
    ids=["in the main thread", "in another thread"],
)
def test_ctrl_c_arrives_within_200_ms(call, threads):
    # The best of three: another program may hold the cores for longer than that.
    assert min(seconds_from_signal_to_exception(call, threads) for _ in range(3)) < 0.2


# ---- random numbers

words64 = st.integers(0, 2**64 - 1)


def test_reference_philox_known_answers():
    # Of the Random123 distribution, kat_vectors.
    ones = 0xFFFFFFFF
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
    for counter, key, expected in [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ones] * 4, [ones] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (pi[:4], pi[4:], [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ]:
        assert reference.philox(counter, key) == expected


@given(words64, words64)
def test_random_numbers_are_philox_of_seed_item_and_counter(seed, item):
    low, high = 2**32 - 1, 32
    blocks = [
        reference.philox([i, 0, item & low, item >> high], [seed & low, seed >> high])
        for i in range(3)
    ]
    words = np.frombuffer(_core.random_bytes(seed, item, 12), "<u4")
    np.testing.assert_array_equal(words, np.ravel(blocks))


@given(words64, words64, st.integers(0, 50))
def test_random_stream_does_not_depend_on_how_much_is_drawn(seed, item, words):
    assert _core.random_bytes(seed, item, 50)[: 4 * words] == _core.random_bytes(seed, item, words)


@given(words64, words64, st.integers(0, 30), st.integers(0, 20))
def test_random_keys_begin_at_any_place_of_a_stream(seed, item, first, count):
    whole = np.frombuffer(_core.random_bytes(seed, item, 100), "<u8")
    keys = _core.random_keys(seed, item, first, count)
    np.testing.assert_array_equal(keys, whole[first : first + count])


@given(words64, words64)
def test_random_keys_far_along_a_stream_are_of_their_blocks(seed, item):
    low, high = 2**32 - 1, 32
    block = reference.philox([5, 3, item & low, item >> high], [seed & low, seed >> high])
    keys = _core.random_keys(seed, item, 2 * (5 + (3 << 32)), 2)
    np.testing.assert_array_equal(keys, np.uint32(block).view("<u8"))


def test_random_streams_differ():
    streams = {_core.random_bytes(seed, item, 4) for seed in range(50) for item in range(50)}
    assert len(streams) == 2500


# ---- top-k


@given(
    st.lists(st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0]), max_size=60),
    st.integers(1, 70),
)
def test_top_k_is_the_head_of_a_sort(scores, k):
    scores = np.array(scores, np.float64)
    expected = np.lexsort((np.arange(len(scores)), -scores))[:k]
    np.testing.assert_array_equal(_core.top_k(scores, k), expected)


def test_top_k_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="positive"):
        _core.top_k(np.zeros(3), 0)
    with pytest.raises(TypeError):
        _core.top_k(np.zeros(3), -1)
    with pytest.raises(TypeError):
        _core.top_k(np.zeros(3, np.float32), 1)


# ---- checksums


def test_crc32c_known_answers(isa):
    # RFC 3720, B.4
    assert _core.crc32c(b"123456789") == 0xE3069283
    assert _core.crc32c(bytes(32)) == 0x8A9136AA
    assert _core.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert _core.crc32c(bytes(range(32))) == 0x46DD794E
    assert _core.crc32c(b"") == 0


@given(data=st.binary(max_size=200), cut=st.integers(0, 200), offset=st.integers(0, 9))
def test_crc32c_equals_reference(isa, data, cut, offset):
    data = memoryview(data)[offset:]
    assert _core.crc32c(data) == reference.crc32c(data)
    assert _core.crc32c(data[cut:], _core.crc32c(data[:cut])) == _core.crc32c(data)


@given(st.binary(max_size=300), st.integers(1, 40), st.binary(max_size=20), st.integers(0, 2**40))
def test_crcs_of_blocks_are_those_of_each(isa, data, block, tag, first):
    found = _core.crc32c_of_blocks(data, block, tag, first)
    pieces = [data[begin : begin + block] for begin in range(0, len(data), block)]
    expected = [
        _core.crc32c(piece, _core.crc32c(tag + (first + i).to_bytes(8, "little")))
        for i, piece in enumerate(pieces)
    ]
    assert found.tolist() == expected
    with pytest.raises(ValueError, match="no bytes"):
        _core.crc32c_of_blocks(data, 0, tag, first)


def test_crc32c_takes_any_contiguous_buffer(isa):
    floats = np.arange(12, dtype=np.float64).reshape(3, 4)
    assert _core.crc32c(floats) == _core.crc32c(floats.tobytes())
    assert _core.crc32c(bytearray(b"ab")) == _core.crc32c(b"ab")
    with pytest.raises(ValueError, match="not contiguous"):
        _core.crc32c(floats.T)
    with pytest.raises(TypeError):
        _core.crc32c("text")

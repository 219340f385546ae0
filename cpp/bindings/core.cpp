// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/gil.hpp"
#include "core/checksum.hpp"
#include "core/cpu.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "core/topk.hpp"

namespace trouvaille::python {
namespace {

using namespace py::literals;

Isa isa_named(const std::string& name) {
    for (std::size_t i = 0; i < isa_count; ++i)
        if (isa_names[i] == name) return static_cast<Isa>(i);
    throw py::value_error("unknown instruction set: " + name);
}

std::span<const std::byte> bytes_of(const py::buffer_info& info) {
    if (!PyBuffer_IsContiguous(info.view(), 'C')) throw py::value_error("buffer is not contiguous");
    return {static_cast<const std::byte*>(info.ptr),
            static_cast<std::size_t>(info.size * info.itemsize)};
}

Array<std::uint32_t> crc32c_of_blocks_of(const py::buffer& data, std::size_t block,
                                         const py::buffer& tag, std::uint64_t first) {
    if (block == 0) throw py::value_error("a block has no bytes");
    const py::buffer_info data_info = data.request(), tag_info = tag.request();
    const auto bytes = bytes_of(data_info), tag_bytes = bytes_of(tag_info);
    const std::size_t count = bytes.size() / block + (bytes.size() % block != 0 ? 1 : 0);
    Array<std::uint32_t> crcs(static_cast<py::ssize_t>(count));
    const auto out = mutable_vector_view(crcs);
    {
        const ReleasedGil nogil;  // the infos keep the memory alive
        crc32c_of_blocks(bytes, block, tag_bytes, first, out);
    }
    return crcs;
}

void bind_cpu(py::module_& m) {
    m.def("isas", [] {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < isa_count; ++i)
            if (supports(static_cast<Isa>(i))) names.emplace_back(isa_names[i]);
        return names;
    });
    m.def("active_isa",
          [] { return std::string(isa_names[static_cast<std::size_t>(active_isa())]); });
    m.def("use_isa", [](const std::string& name) { use_isa(isa_named(name)); });
    m.def("reset_isa", &reset_isa);
}

// Kernels run without the GIL; to let Python's signal handlers run, it is taken for a moment.
// PyErr_CheckSignals does nothing outside the main thread. A KeyboardInterrupt that it raises
// stays set in this thread until the translator below lets it through.
bool python_wants_to_stop() {
    const PyGILState_STATE state = take_gil_or_sleep_for_ever(&PyGILState_Ensure);
    const bool stop = PyErr_CheckSignals() != 0;
    PyGILState_Release(state);
    return stop;
}

void bind_interrupt() {
    set_interrupt_source(&python_wants_to_stop);
    py::register_exception_translator([](std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (const Interrupted&) {
            if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
        }
    });
}

// What follows lets the tests reach core/ from Python.

py::bytes random_bytes(std::uint64_t seed, std::uint64_t item, std::size_t words) {
    Random random(seed, item);
    std::string bytes;
    for (std::size_t i = 0; i < words; ++i) {
        const std::uint32_t word = random.next();
        for (int shift = 0; shift < 32; shift += 8)
            bytes += static_cast<char>(word >> shift & 0xFF);
    }
    return bytes;
}

/// Numbers [first, first + count) of those that Random::next64 would draw of (seed, item): two of
/// them are a block of the generator.
Array<std::uint64_t> random_keys(std::uint64_t seed, std::uint64_t item, std::uint64_t first,
                                 std::size_t count) {
    const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
    const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
    Array<std::uint64_t> keys(static_cast<py::ssize_t>(count));
    const auto out = mutable_vector_view(keys);
    std::array<std::uint32_t, 4> words{};
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t number = first + i, block = number / 2;
        if (i == 0 || number % 2 == 0)
            words =
                philox({low(block), high(block), low(item), high(item)}, {low(seed), high(seed)});
        const std::size_t half = number % 2 * 2;
        out[i] = words[half] | std::uint64_t{words[half + 1]} << 32;
    }
    return keys;
}

Array<std::int64_t> top_k(const Array<double>& scores, std::size_t k) {
    const auto values = vector_view(scores);
    if (k == 0) throw py::value_error("k must be positive");
    std::vector<Ranked<double, std::int64_t>> storage(std::min(k, values.size() + 1));
    TopK<double, std::int64_t> best(storage);
    for (std::size_t i = 0; i < values.size(); ++i)
        best.push(values[i], static_cast<std::int64_t>(i));
    const auto sorted = best.sorted();
    Array<std::int64_t> ids(static_cast<py::ssize_t>(sorted.size()));
    const auto out = mutable_vector_view(ids);
    for (std::size_t i = 0; i < sorted.size(); ++i) out[i] = sorted[i].id;
    return ids;
}

// Who ran item i (a small number a thread), each item taking `microseconds`: lets a test see that
// the pool covers every item once, uses the threads asked for, and lets Ctrl-C and errors through.
Array<std::int32_t> parallel_probe(std::size_t n, std::size_t grain, int threads,
                                   std::int64_t microseconds, std::int64_t throw_at) {
    Array<std::int32_t> owners(static_cast<py::ssize_t>(n));
    const auto out = mutable_vector_view(owners);
    std::fill(out.begin(), out.end(), -1);
    static std::atomic<std::int32_t> thread_count{0};
    {
        const ReleasedGil nogil;  // no Python object is touched in this block
        parallel_for(n, grain, threads, [&](std::size_t begin, std::size_t end) {
            thread_local const std::int32_t me = thread_count++;
            for (std::size_t i = begin; i < end; ++i) {
                if (static_cast<std::int64_t>(i) == throw_at)
                    throw std::runtime_error("item " + std::to_string(i));
                const auto until =
                    std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
                while (std::chrono::steady_clock::now() < until) {
                }
                out[i] = me;
            }
        });
    }
    return owners;
}

}  // namespace

void bind_core(py::module_& m) {
    bind_cpu(m);
    bind_interrupt();
    m.def(
        "crc32c",
        [](const py::buffer& buffer, std::uint32_t crc) {
            const py::buffer_info info = buffer.request();
            const auto bytes = bytes_of(info);
            const ReleasedGil nogil;  // `info` keeps the memory alive
            return crc32c(bytes, crc);
        },
        "data"_a, "crc"_a = 0);
    m.def("crc32c_of_blocks", &crc32c_of_blocks_of, "data"_a, "block"_a, "tag"_a, "first"_a);
    m.def("random_bytes", &random_bytes, "seed"_a, "item"_a, "words"_a);
    m.def("random_keys", &random_keys, "seed"_a, "item"_a, "first"_a, "count"_a);
    m.def("top_k", &top_k, "scores"_a.noconvert(), "k"_a);
    m.def("parallel_probe", &parallel_probe, "n"_a, "grain"_a, "threads"_a, "microseconds"_a = 0,
          "throw_at"_a = -1);
}

}  // namespace trouvaille::python

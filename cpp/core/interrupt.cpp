// SPDX-License-Identifier: Apache-2.0
#include "core/interrupt.hpp"

#include <chrono>

namespace trouvaille {
namespace {

std::atomic<InterruptSource> source{nullptr};

// Asking the source may take a lock (Python's), so a thread asks at most this often.
constexpr std::chrono::milliseconds interval{20};
thread_local std::chrono::steady_clock::time_point last_asked{};
thread_local bool left_to_caller = false;
thread_local const std::atomic<bool>* caller_stopped = nullptr;

}  // namespace

void set_interrupt_source(InterruptSource new_source) {
    source.store(new_source);
}

void check_interrupt() {
    if (left_to_caller) {
        if (caller_stopped != nullptr && caller_stopped->load(std::memory_order_relaxed))
            throw Interrupted();
        return;
    }
    const InterruptSource ask = source.load(std::memory_order_relaxed);
    if (ask == nullptr) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_asked < interval) return;
    last_asked = now;
    if (ask()) throw Interrupted();
}

void leave_interrupts_to_caller(const std::atomic<bool>* stopped) {
    left_to_caller = true;
    caller_stopped = stopped;
}

}  // namespace trouvaille

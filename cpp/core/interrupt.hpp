// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>

namespace trouvaille {

/// Thrown out of a kernel that was told to stop. Its outputs are then unspecified.
struct Interrupted : std::exception {
    const char* what() const noexcept override { return "interrupted"; }
};

/// Says whether the work under way should stop (Ctrl-C, for instance). Only the thread that
/// called the kernel asks it, at most every 20 ms. The bindings install one; a C++ user may.
using InterruptSource = bool (*)();

void set_interrupt_source(InterruptSource source);

/// Throws Interrupted if the source says so. Rate-limited and cheap: a clock read. A long loop
/// calls it every few milliseconds of work; parallel_for calls it between chunks by itself.
/// On a thread that leaves it to its caller, such as a worker of the pool, throws Interrupted if
/// the caller's work has stopped.
void check_interrupt();

/// From now on this thread never asks the source. It stops where `stopped` is true; null: nowhere.
/// `stopped` must live until the next call.
void leave_interrupts_to_caller(const std::atomic<bool>* stopped);

/// For loops of short steps: check_interrupt() whenever some work has been done since. A unit of
/// work is an operation or a few, at most 100 ns, so this asks every 6 ms or more often.
class InterruptPoll {
  public:
    static constexpr std::size_t interval = 65'536;

    void did(std::size_t work) {
        if (work < left_) {
            left_ -= work;
            return;
        }
        left_ = interval;
        check_interrupt();
    }

  private:
    std::size_t left_ = interval;
};

/// body(i) for each i of [begin, end), each `work` units, asking between pieces of it: where to
/// count every step would cost more than the step.
template <class Body>
void polled_for(std::size_t begin, std::size_t end, std::size_t work, InterruptPoll& poll,
                Body body) {
    const std::size_t piece = InterruptPoll::interval / work + 1;
    while (begin < end) {
        const std::size_t stop = begin + std::min(end - begin, piece);
        poll.did((stop - begin) * work);
        for (; begin < stop; ++begin) body(begin);
    }
}

}  // namespace trouvaille

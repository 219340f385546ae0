// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// Throws Interrupted if the source says so. Rate-limited and cheap: a clock read. A long serial
/// loop calls it every few milliseconds of work; parallel_for calls it between chunks by itself.
/// Does nothing on a thread that leaves it to its caller, such as a worker of the pool.
void check_interrupt();

void leave_interrupts_to_caller();  ///< this thread never asks again

}  // namespace trouvaille

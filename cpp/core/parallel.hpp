// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

namespace trouvaille {

/// A reference to a callable `void(std::size_t begin, std::size_t end)` that outlives the call.
class RangeBody {
  public:
    template <class Body>
        requires(!std::is_same_v<std::remove_cvref_t<Body>, RangeBody>)
    RangeBody(Body&& body)  // NOLINT: implicit, so that a lambda can be passed as it is
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(body)))),
          call_([](void* object, std::size_t begin, std::size_t end) {
              (*static_cast<std::remove_reference_t<Body>*>(object))(begin, end);
          }) {}

    void operator()(std::size_t begin, std::size_t end) const { call_(object_, begin, end); }

  private:
    void* object_;
    void (*call_)(void*, std::size_t, std::size_t);
};

/// Calls `body(begin, end)` once for every chunk [i * grain, min(n, (i + 1) * grain)) of [0, n),
/// on up to `threads` threads: the calling one and workers of one persistent pool.
///
/// The chunks do not depend on `threads`, only who runs them does: a body that writes nothing but
/// its own chunk's outputs gives the same bits for any number of threads. Choose a grain of about
/// a millisecond (20 ms at the most): between chunks the work is balanced, and Ctrl-C noticed. A
/// body that may take longer calls check_interrupt() (core/interrupt.hpp) on its way.
///
/// The first exception that a body throws is rethrown here, after every running chunk has ended;
/// chunks not yet begun are dropped. Throws Interrupted likewise. A call from within a body runs
/// its chunks in place. Safe to call from many threads at once, and in a child after fork().
void parallel_for(std::size_t n, std::size_t grain, int threads, RangeBody body);

}  // namespace trouvaille

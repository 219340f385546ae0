// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace trouvaille::python {

/// True once the interpreter has begun to shut down: from then on it gives the GIL to no other
/// thread, and before Python 3.14 it ends one that asks, by pthread_exit.
inline bool python_is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

/// Calls `take`, which takes the GIL; on a daemon thread that outlives the interpreter it never
/// returns, as in Python 3.14. An end by pthread_exit would unwind through the kernel's frames,
/// which the pool's workers still use, and through destructors that need the GIL: it aborts.
template <class Take>
auto take_gil_or_sleep_for_ever(Take take) noexcept {
    if (!python_is_finalizing()) {
        try {
            return take();
        } catch (...) {  // glibc's pthread_exit arrives as an exception, which must not be ended
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

/// Other Python threads run while this lives. Use it in the narrowest braces, and touch no Python
/// object in them. In place of pybind11::gil_scoped_release, which aborts as said above.
class ReleasedGil {
  public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ~ReleasedGil() {
        take_gil_or_sleep_for_ever([this] { PyEval_RestoreThread(state_); });
    }
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;

  private:
    PyThreadState* state_;
};

}  // namespace trouvaille::python

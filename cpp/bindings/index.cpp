// SPDX-License-Identifier: Apache-2.0
#include "bindings/arrays.hpp"

namespace trouvaille::python {

void bind_index(py::module_&) {}

}  // namespace trouvaille::python

// SPDX-License-Identifier: Apache-2.0
#include "index/inverted_file.hpp"

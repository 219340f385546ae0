// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "words/vocabulary_tree.hpp"

namespace trouvaille {
namespace {

/// Makes no text where all is well: it is asked a few times a node.
void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(std::string("damaged vocabulary tree: ") + what);
}

}  // namespace

std::size_t check_vocabulary_tree(std::span<const std::uint32_t> children, std::size_t nodes) {
    require(nodes >= 1, "there must be nodes");
    require(children.size() == nodes + 2, "children and nodes differ in number");
    require(children[0] == 0 && children[1] >= 1, "the children of the root must come first");
    require(children[nodes + 1] == nodes, "every node must be a child");
    for (std::size_t i = 0; i < nodes; ++i) {
        require(children[i + 1] > i, "a node must come before its children");
        require(children[i + 2] >= children[i + 1], "children must be in the order of parents");
    }
    std::size_t levels = 0;
    for (std::size_t begin = 0, end = children[1]; begin < end; ++levels) {
        const std::size_t next = children[end + 1];
        begin = end;
        end = next;
    }
    return levels;
}

}  // namespace trouvaille

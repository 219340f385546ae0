// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <iostream>
#include <string_view>

#include "check.hpp"

// Runs the tests whose name contains the first argument, or all of them.
int main(int argc, char** argv) {
    using namespace trouvaille::test;
    const std::string_view wanted = argc > 1 ? argv[1] : "";
    std::size_t passed = 0, failed = 0;
    for (const Test& test : tests()) {
        if (test.name.find(wanted) == std::string::npos) continue;
        const std::size_t before = failures;
        try {
            test.run();
        } catch (const std::exception& error) {
            fail(__FILE__, __LINE__, test.name + " throws " + error.what());
        }
        const bool ok = failures == before;
        if (!ok) std::cerr << test.name << " FAILED\n";
        ++(ok ? passed : failed);
    }
    std::cout << passed << " passed, " << failed << " failed\n";
    return failed > 0 || passed == 0 ? 1 : 0;
}

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "neighbors/lsh_functions.hpp"

namespace trouvaille::lsh {

/// A bucket of a table, whether it exists or not.
struct Probe {
    std::uint32_t table, key;
};

inline std::int32_t cell_of(float value, std::int32_t reach) {
    const auto cell = static_cast<std::int32_t>(std::floor(value));  // |value| <= 2^20
    return std::clamp(cell, -reach, reach - 1);
}

inline std::uint32_t key_of(const float* values, std::span<const std::uint32_t> multipliers,
                            std::int32_t reach) {
    std::uint32_t key = 0;
    for (std::size_t f = 0; f < multipliers.size(); ++f)
        key += static_cast<std::uint32_t>(cell_of(values[f], reach)) * multipliers[f];
    return key;
}

/// The buckets of all tables, by how far the query lies off them: the sum, over the functions whose
/// cell is a neighbour of the query's, of the square of how far off it is.
///
/// Lv and others (neighbors/lsh.hpp), 4.5: a table's steps to neighbouring cells are sorted by
/// cost, and buckets are sets of them. Each set has two children: its last step replaced by the
/// next one, and the next one added. So each set has one parent, and none costs less than its
/// parent. Sets that go both ways from one cell are left out: they are replaced, never added to.
///
/// As costs only grow, a row of stacks serves as the queue (Dial, CACM 12 (11), 1969). A stack
/// holds costs that differ by less than a sixteenth; of those, the last to come is the first to
/// leave.
class Probes {
  public:
    void start(const HashFunctions& functions, std::size_t tables, const float* values) {
        const std::size_t each = functions.multipliers.size() / tables;
        steps_.resize(tables);
        sets_.clear();
        filled_ = {};
        for (std::size_t t = tables; t-- > 0;) {
            const auto multipliers = functions.multipliers.subspan(t * each, each);
            const std::uint32_t key = key_of(values + t * each, multipliers, functions.reach);
            sort_steps(steps_[t], values + t * each, multipliers, functions.reach);
            push({0, static_cast<std::uint32_t>(t), key, none, 0});
        }
    }

    /// False when there are no more.
    bool next(Probe& probe) {
        for (;;) {
            const std::size_t stack = lowest();
            if (stack == stacks) return false;
            const Set set = sets_[tops_[stack]];
            if ((tops_[stack] = set.below) == none)
                filled_[stack / 64] ^= std::uint64_t{1} << stack % 64;
            const std::vector<Step>& steps = steps_[set.table];
            const bool possible = !goes_both_ways(set, steps);
            const std::uint32_t after = set.last + 1;  // none + 1 is 0
            if (after < steps.size()) {
                if (set.last != none) push(replaced(set, steps, after));
                if (possible) push(added(set, steps[after], after));
            }
            if (!possible) continue;
            probe = {set.table, set.key};
            return true;
        }
    }

  private:
    static constexpr std::uint32_t none = 0xFFFFFFFF;
    static constexpr std::size_t stacks = 512;

    struct Step {
        float cost;
        std::uint32_t key;  ///< added to the key
        std::uint32_t function;
        std::uint32_t opposite;  ///< the other step of its function, or `none`
    };
    struct Set {
        float cost;
        std::uint32_t table, key, last;
        std::uint64_t steps;
        std::uint32_t below = none;  ///< in its stack
    };

    static bool goes_both_ways(const Set& set, const std::vector<Step>& steps) {
        if (set.last == none || steps[set.last].opposite == none) return false;
        return (set.steps >> steps[set.last].opposite & 1) != 0;
    }
    static Set added(const Set& set, const Step& step, std::uint32_t at) {
        return {set.cost + step.cost, set.table, set.key + step.key, at,
                set.steps | std::uint64_t{1} << at};
    }
    static Set replaced(const Set& set, const std::vector<Step>& steps, std::uint32_t by) {
        const Step& last = steps[set.last];
        const Set without{set.cost - last.cost, set.table, set.key - last.key, set.last,
                          set.steps ^ std::uint64_t{1} << set.last};
        return added(without, steps[by], by);
    }

    /// By the exponent and four bits more; costs are in squares of the width of a cell.
    static std::size_t stack_of(float cost) {
        constexpr std::uint32_t smallest = std::bit_cast<std::uint32_t>(0x1p-16F) >> 19;
        const std::uint32_t place = std::bit_cast<std::uint32_t>(std::max(cost, 0x1p-16F)) >> 19;
        return std::min<std::size_t>(place - smallest, stacks - 1);
    }
    void push(Set set) {
        const std::size_t stack = stack_of(set.cost);
        std::uint64_t& word = filled_[stack / 64];
        const std::uint64_t bit = std::uint64_t{1} << stack % 64;
        set.below = (word & bit) != 0 ? tops_[stack] : none;
        word |= bit;
        tops_[stack] = static_cast<std::uint32_t>(sets_.size());
        sets_.push_back(set);
    }
    std::size_t lowest() const {
        for (std::size_t w = 0; w < filled_.size(); ++w)
            if (filled_[w] != 0)
                return 64 * w + static_cast<std::size_t>(std::countr_zero(filled_[w]));
        return stacks;
    }

    static void sort_steps(std::vector<Step>& steps, const float* values,
                           std::span<const std::uint32_t> multipliers, std::int32_t reach) {
        steps.clear();
        for (std::uint32_t f = 0; f < multipliers.size(); ++f) {
            const std::int32_t cell = cell_of(values[f], reach);
            const float above = values[f] - static_cast<float>(cell), below = 1 - above;
            if (cell > -reach) steps.push_back({above * above, 0 - multipliers[f], f, none});
            if (cell + 1 < reach) steps.push_back({below * below, multipliers[f], f, none});
        }
        std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
            if (a.cost != b.cost) return a.cost < b.cost;
            return a.function != b.function ? a.function < b.function : a.key < b.key;
        });
        if (reach > 1) find_opposites(steps);
    }
    static void find_opposites(std::vector<Step>& steps) {
        std::array<std::uint32_t, most_functions> first;
        first.fill(none);
        for (std::uint32_t i = 0; i < steps.size(); ++i) {
            std::uint32_t& other = first[steps[i].function];
            if (other == none)
                other = i;
            else
                steps[i].opposite = other, steps[other].opposite = i;
        }
    }

    std::vector<std::vector<Step>> steps_;
    std::vector<Set> sets_;
    std::array<std::uint32_t, stacks> tops_{};  ///< of those that are filled
    std::array<std::uint64_t, stacks / 64> filled_{};
};

}  // namespace trouvaille::lsh

// SPDX-License-Identifier: Apache-2.0
#include "geometry/match_words.hpp"

#include <algorithm>
#include <cassert>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "geometry/word_lists.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t candidates_at_once = 8;

struct Link {
    std::uint32_t list;  // the number of the word's list
    double weight;
};

// The words of each query feature that count, the strongest first.
class QueryWords {
  public:
    QueryWords(MatrixView<const std::uint32_t> words, MatrixView<const double> weights,
               std::size_t most)
        : weights_(weights), lists_({words.data, words.rows * words.cols, 1}) {
        const std::size_t n = words.rows * words.cols;
        counts_.assign(n, false);
        for (std::size_t place = 0; place < n; ++place) {
            const std::span list = lists_[words.data[place]];
            if (list.front() == place) keep_strongest(list, most);
        }
        begin_.push_back(0);
        for (std::size_t q = 0; q < words.rows; ++q) add_feature(words, q);
    }

    const WordLists& lists() const { return lists_; }
    std::span<const Link> operator[](std::size_t q) const {
        return std::span(links_).subspan(begin_[q], begin_[q + 1] - begin_[q]);
    }

  private:
    // Marks the places that count of those that have one word.
    void keep_strongest(std::span<const std::uint32_t> list, std::size_t most) {
        const std::size_t cols = weights_.cols;
        std::vector<std::uint32_t> places;
        for (const std::uint32_t place : list) {
            const bool again = !places.empty() && places.back() / cols == place / cols;
            if (weights_.data[place] > 0 && !again) places.push_back(place);
            poll_.did(1);
        }
        const auto stronger = [&](std::uint32_t a, std::uint32_t b) {
            poll_.did(1);
            const double weight = weights_.data[a], other = weights_.data[b];
            return weight != other ? weight > other : a % cols < b % cols;
        };
        std::size_t kept = std::min(most, places.size());
        if (kept < places.size()) {
            std::sort(places.begin(), places.end(), stronger);
            const std::uint32_t beyond = places[kept];
            while (kept > 0 && !stronger(places[kept - 1], beyond)) --kept;
        }
        for (std::size_t i = 0; i < kept; ++i) counts_[places[i]] = true;
    }

    void add_feature(MatrixView<const std::uint32_t> words, std::size_t q) {
        for (std::size_t place = q * words.cols; place < (q + 1) * words.cols; ++place) {
            poll_.did(1);
            if (!counts_[place]) continue;
            const std::size_t list = lists_.number_of(lists_[words.data[place]]);
            links_.push_back({static_cast<std::uint32_t>(list), weights_.data[place]});
        }
        const auto first = links_.begin() + static_cast<std::ptrdiff_t>(begin_.back());
        std::stable_sort(first, links_.end(), [&](const Link& a, const Link& b) {
            poll_.did(1);
            return a.weight > b.weight;
        });
        begin_.push_back(links_.size());
    }

    MatrixView<const double> weights_;
    WordLists lists_;  // of places: rows of one word
    std::vector<bool> counts_;
    std::vector<Link> links_;
    std::vector<std::size_t> begin_;
    InterruptPoll poll_;
};

// The features of one candidate that have each of the query's words, in ascending order.
class CandidateWords {
  public:
    explicit CandidateWords(std::size_t lists) : chains_(lists) {}

    void set(const WordLists& lists, std::span<const std::uint32_t> words, InterruptPoll& poll) {
        for (const std::uint32_t list : used_) chains_[list] = {};
        used_.clear();
        next_.resize(words.size());
        for (std::size_t c = words.size(); c-- > 0;) {
            poll.did(1);
            const std::span list = lists[words[c]];
            if (list.empty()) continue;
            Chain& chain = chains_[lists.number_of(list)];
            if (chain.size++ == 0)
                used_.push_back(static_cast<std::uint32_t>(&chain - &chains_[0]));
            next_[c] = chain.first;
            chain.first = static_cast<std::int32_t>(c);
        }
    }

    std::size_t count(std::uint32_t list) const { return chains_[list].size; }

    template <class Visit>
    void for_each(std::uint32_t list, Visit visit) const {
        std::int32_t c = chains_[list].first;
        for (std::uint32_t i = 0; i < chains_[list].size; ++i) {
            visit(c);
            c = next_[static_cast<std::size_t>(c)];
        }
    }

  private:
    struct Chain {
        std::int32_t first = 0;
        std::uint32_t size = 0;
    };
    std::vector<Chain> chains_;
    std::vector<std::int32_t> next_;
    std::vector<std::uint32_t> used_;
};

MatchesOf<double>::Part pairs_with(const QueryWords& query, std::size_t n_features,
                                   const CandidateWords& candidate, std::size_t most,
                                   InterruptPoll& poll) {
    MatchesOf<double>::Part found;
    for (std::size_t q = 0; q < n_features; ++q) {
        std::size_t taken = 0;
        for (const Link& link : query[q]) {
            poll.did(1);
            const std::size_t count = candidate.count(link.list);
            if (count > most) continue;
            taken += count;
            if (taken > most) break;
            candidate.for_each(link.list, [&](std::int32_t c) {
                found.pairs.push_back({static_cast<std::int32_t>(q), c});
                found.values.push_back(link.weight);
            });
        }
    }
    return found;
}

}  // namespace

MatchesOf<double> match_words(MatrixView<const std::uint32_t> words,
                              MatrixView<const double> weights,
                              std::span<const std::uint32_t> candidate_words,
                              std::span<const std::int64_t> offsets,
                              std::size_t max_matches_per_feature, int threads) {
    assert(words.rows == weights.rows && words.cols == weights.cols);
    assert(!offsets.empty());
    const QueryWords query(words, weights, max_matches_per_feature);
    std::vector<MatchesOf<double>::Part> parts(offsets.size() - 1);
    parallel_for(
        parts.size(), candidates_at_once, threads, [&](std::size_t begin, std::size_t end) {
            CandidateWords candidate(words.rows * words.cols);
            InterruptPoll poll;
            for (std::size_t i = begin; i < end; ++i) {
                const auto first = static_cast<std::size_t>(offsets[i]);
                const auto last = static_cast<std::size_t>(offsets[i + 1]);
                candidate.set(query.lists(), candidate_words.subspan(first, last - first), poll);
                parts[i] = pairs_with(query, words.rows, candidate, max_matches_per_feature, poll);
            }
        });
    return MatchesOf<double>(parts);
}

}  // namespace trouvaille

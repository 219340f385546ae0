// SPDX-License-Identifier: Apache-2.0
#include "geometry/match_words.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "geometry/word_lists.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t candidates_at_once = 8;

// One word of a query feature.
struct Link {
    std::uint32_t feature;
    std::uint32_t list;  // the number of the word's list
    double weight;
};

// The words that count, in the order of the query's features, and the strongest of each first.
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
        for (std::size_t q = 0; q < words.rows; ++q) add_feature(words, q);
        of_list_.resize(n);
        sizes_.resize(n);
        for (std::uint32_t i = 0; i < links_.size(); ++i) {
            const std::uint32_t list = links_[i].list;
            of_list_[list + sizes_[list]++] = i;
            poll_.did(1);
        }
    }

    const WordLists& lists() const { return lists_; }
    const std::vector<Link>& links() const { return links_; }

    /// The numbers of the links by one word.
    std::span<const std::uint32_t> links_of(std::uint32_t list) const {
        return {of_list_.data() + list, sizes_[list]};
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
        const std::size_t before = links_.size();
        for (std::size_t place = q * words.cols; place < (q + 1) * words.cols; ++place) {
            poll_.did(1);
            if (!counts_[place]) continue;
            const std::size_t list = lists_.number_of(lists_[words.data[place]]);
            links_.push_back({static_cast<std::uint32_t>(q), static_cast<std::uint32_t>(list),
                              weights_.data[place]});
        }
        const auto first = links_.begin() + static_cast<std::ptrdiff_t>(before);
        std::stable_sort(first, links_.end(), [&](const Link& a, const Link& b) {
            poll_.did(1);
            return a.weight > b.weight;
        });
    }

    MatrixView<const double> weights_;
    WordLists lists_;  // of places: rows of one word
    std::vector<bool> counts_;
    std::vector<Link> links_;
    std::vector<std::uint32_t> of_list_, sizes_;  // see links_of; a list's place is its number
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

    /// The lists of the words that the candidate has.
    std::span<const std::uint32_t> lists() const { return used_; }
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

// Takes a query feature's words, the strongest first, for as long as they give few enough pairs.
class Pairs {
  public:
    Pairs(const CandidateWords& candidate, std::size_t most) : candidate_(candidate), most_(most) {}

    void take(const Link& link) {
        if (link.feature != feature_) taken_ = 0;
        feature_ = link.feature;
        if (taken_ > most_) return;
        taken_ += candidate_.count(link.list);
        if (taken_ > most_) return;
        candidate_.for_each(link.list, [&](std::int32_t c) {
            found_.pairs.push_back({static_cast<std::int32_t>(link.feature), c});
            found_.values.push_back(link.weight);
        });
    }

    MatchesOf<double>::Part& found() { return found_; }

  private:
    const CandidateWords& candidate_;
    std::size_t most_, taken_ = 0;
    std::uint32_t feature_ = 0;
    MatchesOf<double>::Part found_;
};

// Marks the links whose words the candidate has, a bit each, and takes them in their order: a sort.
MatchesOf<double>::Part pairs_with(const QueryWords& query, const CandidateWords& candidate,
                                   std::size_t most, std::vector<std::uint64_t>& marks,
                                   InterruptPoll& poll) {
    marks.assign(query.links().size() / 64 + 1, 0);
    for (const std::uint32_t list : candidate.lists()) {
        if (candidate.count(list) > most) continue;
        for (const std::uint32_t link : query.links_of(list))
            marks[link / 64] |= std::uint64_t{1} << link % 64;
        poll.did(query.links_of(list).size() + 1);
    }
    Pairs pairs(candidate, most);
    for (std::size_t i = 0; i < marks.size(); ++i) {
        for (std::uint64_t bits = marks[i]; bits != 0; bits &= bits - 1)
            pairs.take(query.links()[64 * i + static_cast<std::size_t>(std::countr_zero(bits))]);
        poll.did(std::popcount(marks[i]) + 1u);
    }
    return std::move(pairs.found());
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
            std::vector<std::uint64_t> marks;
            InterruptPoll poll;
            for (std::size_t i = begin; i < end; ++i) {
                const auto first = static_cast<std::size_t>(offsets[i]);
                const auto last = static_cast<std::size_t>(offsets[i + 1]);
                candidate.set(query.lists(), candidate_words.subspan(first, last - first), poll);
                parts[i] = pairs_with(query, candidate, max_matches_per_feature, marks, poll);
            }
        });
    return MatchesOf<double>(parts);
}

}  // namespace trouvaille

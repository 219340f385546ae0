// SPDX-License-Identifier: Apache-2.0
#include "geometry/verify.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/random.hpp"
#include "geometry/consistency.hpp"
#include "geometry/match_graph.hpp"
#include "geometry/solvers.hpp"
#include "geometry/transforms.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t max_proposers = 1024, max_pairs = 64, max_triples = 64, max_singles = 16,
                      max_refined = 6;
constexpr float coarse_factor = 8, fine_factor = 2;
constexpr double shrinking[] = {8, 4, 2, 1, 1};  // of the threshold, while refining
// Two more parameters explain more by chance: an affine map must gain half a match more.
constexpr double affine_penalty = 0.5;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr double max_scale = 20, max_tilt = 8;

// The matches of one candidate whose frames are regular, and where they came from.
struct Matches {
    Correspondences pairs;
    std::vector<std::size_t> origin;             // the row of the match
    std::vector<std::int32_t> query, candidate;  // the features' numbers

    void reset(std::size_t capacity) {
        pairs.reset(capacity);
        origin.clear();
        query.clear();
        candidate.clear();
    }
    void push_from(const Matches& other, std::size_t k) {
        pairs.push_from(other.pairs, k);
        origin.push_back(other.origin[k]);
        query.push_back(other.query[k]);
        candidate.push_back(other.candidate[k]);
    }
    std::size_t size() const { return origin.size(); }
};

struct Inlier {
    float square;  // of its residual
    double gain;   // (1 - square / threshold^2) times the agreement of its frame
    std::size_t match;
};

// A transform and the matches it was made from (the same twice if it was one).
struct Proposal {
    Affine transform;
    Edge made_from;
    std::uint32_t supporters;  // with those it was made from
    std::int64_t score;
};

struct Model {
    Affine transform;
    double score = 0;  // the sum of its inliers' gains, less affine_penalty if it is affine
    std::vector<Inlier> inliers;
};

class Verifier {
  public:
    Verifier(const Shortlist& shortlist, const VerifyOptions& options,
             std::span<const Affine> query_inverses, const Verification& out)
        : in_(shortlist),
          options_(options),
          query_inverses_(query_inverses),
          out_(out),
          threshold_(static_cast<float>(options.residual_threshold)),
          query_used_(shortlist.query_frames.rows, 0) {}

    void verify(std::size_t candidate);

  private:
    std::optional<Model> estimate();
    void gather(std::size_t candidate);
    void choose_proposers();
    void propose_pairs();
    std::size_t propose_triples(Edge edge, std::uint32_t supporters, std::size_t limit);
    void propose_singles();
    void propose(const Affine& transform, Edge made_from, std::uint32_t supporters);
    bool settled(std::uint32_t supporters) const;
    Model refine_best();
    std::optional<Affine> refine(Affine transform);
    std::optional<Affine> fit() const;
    bool determines_affine(const Moments& moments, double area) const;
    template <class Found>
    void for_each_near(const Correspondences& c, const Affine& transform, double limit,
                       Found found);
    Model evaluate(const Affine& transform, const Matches& matches);
    void polish(Model& model);
    void report(std::size_t candidate, const Model& model);

    double weight(std::size_t match) const { return in_.weights.empty() ? 1 : in_.weights[match]; }

    const Shortlist& in_;
    const VerifyOptions& options_;
    std::span<const Affine> query_inverses_;
    const Verification& out_;
    const ConsistencyKernels& kernels_ = consistency_kernels();
    float threshold_;

    InterruptPoll poll_;  // where the work grows with the candidate's matches

    // Working memory, kept from one candidate to the next.
    Matches all_, chosen_;
    const Matches* proposers_ = nullptr;  // all_, or chosen_ if there are too many
    MatchGraph graph_;                    // of *proposers_
    std::vector<Proposal> proposals_;
    std::int64_t best_fine_ = 0;
    std::vector<std::size_t> order_;  // of proposals_, best first
    std::vector<bool> explained_;     // by a refined proposal
    std::vector<float> squares_, agreements_;
    std::vector<std::uint8_t> near_;
    std::vector<Inlier> inliers_;  // before the one-to-one choice
    std::vector<WeightedPair> fitted_;
    std::vector<std::uint8_t> query_used_, candidate_used_;  // all zero between uses
};

void Verifier::verify(std::size_t candidate) {
    check_interrupt();  // the quadratic part takes milliseconds, and a chunk may have 64 of them
    gather(candidate);
    const auto model = estimate();
    if (model && model->inliers.size() >= options_.min_inliers) report(candidate, *model);
}

std::optional<Model> Verifier::estimate() {
    if (all_.size() < options_.min_inliers) return std::nullopt;
    choose_proposers();
    graph_.build(proposers_->pairs, 2 * threshold_);
    proposals_.clear();
    best_fine_ = 0;
    propose_pairs();
    propose_singles();
    Model best = refine_best();
    polish(best);
    return best;
}

void Verifier::gather(std::size_t candidate) {
    const auto begin = static_cast<std::size_t>(in_.match_offsets[candidate]);
    const auto end = static_cast<std::size_t>(in_.match_offsets[candidate + 1]);
    const auto first_frame = static_cast<std::size_t>(in_.frame_offsets[candidate]);
    const auto n_frames = static_cast<std::size_t>(in_.frame_offsets[candidate + 1]) - first_frame;
    if (candidate_used_.size() < n_frames) candidate_used_.resize(n_frames, 0);
    all_.reset(end - begin);
    for (std::size_t k = begin; k < end; ++k) {
        poll_.did(4);
        const std::int32_t query = in_.matches.row(k)[0], other = in_.matches.row(k)[1];
        const float* query_frame = in_.query_frames.row(static_cast<std::size_t>(query));
        const Affine frame = affine_from_row(
            in_.candidate_frames.row(first_frame + static_cast<std::size_t>(other)));
        const Affine local = compose(frame, query_inverses_[static_cast<std::size_t>(query)]);
        // The inverse of a singular query frame is NaN, and what comes of it not plausible.
        if (!is_regular(frame) || !is_plausible(local, max_scale, max_scale)) continue;
        all_.pairs.push({query_frame[2], query_frame[5]}, {frame.b1, frame.b2}, local);
        all_.origin.push_back(k);
        all_.query.push_back(query);
        all_.candidate.push_back(other);
    }
    kernels_.complete(all_.pairs);
}

void Verifier::choose_proposers() {
    proposers_ = &all_;
    if (all_.size() <= max_proposers) return;
    struct Key {
        double weight;
        std::uint64_t shuffle;
        std::size_t k;
    };
    std::vector<Key> keys;
    keys.reserve(all_.size());
    for (std::size_t k = 0; k < all_.size(); ++k) {
        keys.push_back({weight(all_.origin[k]), Random(0, k).next64(), k});
        poll_.did(1);
    }
    const auto last = keys.begin() + max_proposers;
    std::nth_element(keys.begin(), last, keys.end(), [this](const Key& a, const Key& b) {
        poll_.did(1);
        return std::tie(b.weight, a.shuffle, a.k) < std::tie(a.weight, b.shuffle, b.k);
    });
    std::sort(keys.begin(), last, [](const Key& a, const Key& b) { return a.k < b.k; });
    chosen_.reset(max_proposers);
    for (auto key = keys.begin(); key != last; ++key) chosen_.push_from(all_, key->k);
    proposers_ = &chosen_;
}

void Verifier::propose_pairs() {
    std::size_t triples = options_.model == TransformModel::affine ? max_triples : 0;
    const Correspondences& c = proposers_->pairs;
    for (const std::uint32_t e : graph_.best_edges(options_.min_inliers > 2 ? 3 : 2, max_pairs)) {
        const Edge edge = graph_.edge(e);
        const std::uint32_t supporters = graph_.supporters(e);
        if (settled(supporters)) break;
        propose(similarity_through(c.query(edge.first), c.candidate(edge.first),
                                   c.query(edge.second), c.candidate(edge.second)),
                edge, supporters);
        // Three matches are always explained by an affine map: a fourth must be there to tell.
        if (supporters >= 4 && !settled(supporters))
            triples -= propose_triples(edge, supporters, triples);
    }
}

// Affine maps through the centres of an edge and of a later common supporter; `limit` at the most.
std::size_t Verifier::propose_triples(Edge edge, std::uint32_t supporters, std::size_t limit) {
    std::size_t proposed = 0;
    for (std::size_t w = edge.second / 64; w < graph_.words(); ++w) {
        std::uint64_t bits = graph_.common_word(edge, w);
        if (w == edge.second / 64) bits &= ~std::uint64_t{0} << (edge.second % 64);
        for (; bits != 0 && proposed < limit; bits &= bits - 1, ++proposed) {
            fitted_.clear();
            for (const std::size_t k : {std::size_t{edge.first}, std::size_t{edge.second},
                                        w * 64 + static_cast<std::size_t>(std::countr_zero(bits))})
                fitted_.push_back({proposers_->pairs.query(k), proposers_->pairs.candidate(k), 1});
            const Moments moments = Moments::of(fitted_);
            const auto affine = fit_affine(moments);
            if (affine && determines_affine(moments, affine->transform.determinant()))
                propose(affine->transform, edge, supporters);
        }
    }
    return proposed;
}

void Verifier::propose_singles() {
    if (settled(graph_.most_supporters())) return;
    for (const std::uint32_t i :
         graph_.best_matches(options_.min_inliers > 1 ? 2 : 1, max_singles)) {
        const std::uint32_t supporters = graph_.match_supporters(i);
        if (settled(supporters)) break;
        Affine t = proposers_->pairs.local(i);
        if (options_.model == TransformModel::similarity)
            t = nearest_similarity(t, proposers_->pairs.query(i));
        propose(t, {i, i}, supporters);
    }
}

// True if the best proposal explains so much (in its frames' noise, 0.84 a match is to be expected)
// that one with this many supporters has little to add.
bool Verifier::settled(std::uint32_t supporters) const {
    return 3 * best_fine_ >= 2 * score_unit * supporters;
}

// Keeps a proposal that gains more than one match could, if more than two are needed.
void Verifier::propose(const Affine& transform, Edge made_from, std::uint32_t supporters) {
    if (!is_plausible(transform, max_scale, max_tilt)) return;
    const Score score = kernels_.score(proposers_->pairs, transform, coarse_factor * threshold_,
                                       fine_factor * threshold_);
    if (score.coarse <= (options_.min_inliers > 2 ? score_unit : 0)) return;
    proposals_.push_back({transform, made_from, supporters, score.coarse + score.fine});
    best_fine_ = std::max(best_fine_, score.fine);
}

// The best of the proposals, refined. Left out are those whose matches are inliers of an earlier
// one, which would lead to the same transform, and those with fewer supporters than the best has
// inliers.
Model Verifier::refine_best() {
    order_.resize(proposals_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
        return std::tie(proposals_[b].score, a) < std::tie(proposals_[a].score, b);
    });
    explained_.assign(proposers_->size(), false);
    Model best;
    std::size_t tried = 0;
    for (const std::size_t p : order_) {
        const Proposal& proposal = proposals_[p];
        if (explained_[proposal.made_from.first] && explained_[proposal.made_from.second]) continue;
        if (proposal.supporters < best.inliers.size()) continue;
        if (++tried > max_refined) break;
        Model model = evaluate(proposal.transform, *proposers_);
        if (const auto refined = refine(proposal.transform)) {
            Model better = evaluate(*refined, *proposers_);
            if (better.inliers.size() >= model.inliers.size()) model = std::move(better);
        }
        for (const Inlier& inlier : model.inliers) explained_[inlier.match] = true;
        if (model.score > best.score) best = std::move(model);
    }
    return best;
}

// Iterated least squares, weighted by 1 - square / threshold^2, while the threshold shrinks.
std::optional<Affine> Verifier::refine(Affine transform) {
    const Correspondences& c = proposers_->pairs;
    for (const double factor : shrinking) {
        const double limit = factor * factor * threshold_ * threshold_;
        fitted_.clear();
        for_each_near(c, transform, limit, [&](std::size_t k, double near) {
            if (near > 0) fitted_.push_back({c.query(k), c.candidate(k), near * agreements_[k]});
        });
        const auto next = fit();
        if (!next) return std::nullopt;
        transform = *next;
    }
    return transform;
}

// Whether the spread of the points across their main direction, seen in the candidate (whose area
// is `area` times the query's), is 2.5 thresholds: the root of the sum of squares. A match is wrong
// by about a quarter of the threshold, so a shear is then known within 0.1.
bool Verifier::determines_affine(const Moments& moments, double area) const {
    return scatter_across(moments) * area >= 6.25 * threshold_ * threshold_;
}

// Least squares on fitted_: affine if there are four matches, spread widely enough, which it
// explains better than a similarity does (F above 4 for its two more parameters).
std::optional<Affine> Verifier::fit() const {
    if (fitted_.size() < 2) return std::nullopt;
    const Moments moments = Moments::of(fitted_);
    const auto similarity = fit_similarity(moments);
    if (!similarity || !is_plausible(similarity->transform, max_scale, max_tilt))
        return std::nullopt;
    if (options_.model == TransformModel::similarity || fitted_.size() < 4 ||
        !determines_affine(moments, similarity->transform.determinant()))
        return similarity->transform;
    const auto affine = fit_affine(moments);
    if (!affine || !is_plausible(affine->transform, max_scale, max_tilt))
        return similarity->transform;
    constexpr double rounding = 1e-6;  // square pixels: below it nothing is significant
    const double freedom = 2 * static_cast<double>(fitted_.size()) - 6;
    const double gained = (similarity->squares - affine->squares) / 2;
    const double left = affine->squares / freedom + rounding;
    return gained > 4 * left ? affine->transform : similarity->transform;
}

// Calls found(k, 1 - squares_[k] / limit) for each match within the limit whose frame agrees.
template <class Found>
void Verifier::for_each_near(const Correspondences& c, const Affine& transform, double limit,
                             Found found) {
    constexpr std::size_t together = 8;
    static_assert(Correspondences::block % together == 0);
    squares_.resize(c.blocks() * Correspondences::block);
    agreements_.resize(squares_.size());
    near_.resize(squares_.size());
    // Rounding up admits a few that are beyond: they are told apart below, in double precision.
    kernels_.residuals(c, transform, std::nextafter(static_cast<float>(limit), infinity),
                       squares_.data(), agreements_.data(), near_.data());
    for (std::size_t begin = 0; begin < c.size(); begin += together) {
        std::uint64_t any;
        std::memcpy(&any, near_.data() + begin, sizeof any);
        if (any == 0) continue;
        for (std::size_t k = begin; k < begin + together; ++k)
            if (near_[k] != 0 && squares_[k] <= limit) found(k, 1 - squares_[k] / limit);
    }
}

Model Verifier::evaluate(const Affine& transform, const Matches& matches) {
    inliers_.clear();
    for_each_near(matches.pairs, transform, static_cast<double>(threshold_) * threshold_,
                  [this](std::size_t k, double near) {
                      inliers_.push_back({squares_[k], near * agreements_[k], k});
                  });
    std::sort(inliers_.begin(), inliers_.end(), [this](const Inlier& a, const Inlier& b) {
        poll_.did(1);
        return std::tie(a.square, a.match) < std::tie(b.square, b.match);
    });
    Model model;
    model.transform = transform;
    model.score = is_similarity(transform) ? 0 : -affine_penalty;
    model.inliers.reserve(inliers_.size());
    for (const Inlier& inlier : inliers_) {
        poll_.did(1);
        auto& query = query_used_[static_cast<std::size_t>(matches.query[inlier.match])];
        auto& candidate =
            candidate_used_[static_cast<std::size_t>(matches.candidate[inlier.match])];
        if (query != 0 || candidate != 0) continue;
        query = candidate = 1;
        model.inliers.push_back(inlier);
        model.score += inlier.gain;
    }
    for (const Inlier& inlier : model.inliers) {
        poll_.did(1);
        query_used_[static_cast<std::size_t>(matches.query[inlier.match])] = 0;
        candidate_used_[static_cast<std::size_t>(matches.candidate[inlier.match])] = 0;
    }
    return model;
}

// Fits the model to all its inliers, of which there may be more than among the proposers.
void Verifier::polish(Model& model) {
    if (model.inliers.empty()) return;
    if (proposers_ != &all_) model = evaluate(model.transform, all_);
    for (int iteration = 0; iteration < 2; ++iteration) {
        fitted_.clear();
        for (const Inlier& inlier : model.inliers)
            fitted_.push_back(
                {all_.pairs.query(inlier.match), all_.pairs.candidate(inlier.match), inlier.gain});
        check_interrupt();
        const auto next = fit();
        if (!next) return;
        Model better = evaluate(*next, all_);
        if (!(better.score > model.score)) return;
        model = std::move(better);
    }
}

void Verifier::report(std::size_t candidate, const Model& model) {
    const Affine& t = model.transform;
    double score = 0, box[4] = {1e300, 1e300, -1e300, -1e300};
    for (const Inlier& inlier : model.inliers) {
        poll_.did(1);
        const std::size_t match = all_.origin[inlier.match];
        out_.inliers[match] = true;
        score += weight(match);
        const auto query = static_cast<std::size_t>(all_.query[inlier.match]);
        const Affine f = compose(t, affine_from_row(in_.query_frames.row(query)));
        const double width = std::sqrt(f.a11 * f.a11 + f.a12 * f.a12);
        const double height = std::sqrt(f.a21 * f.a21 + f.a22 * f.a22);
        box[0] = std::min(box[0], f.b1 - width);
        box[1] = std::min(box[1], f.b2 - height);
        box[2] = std::max(box[2], f.b1 + width);
        box[3] = std::max(box[3], f.b2 + height);
    }
    out_.n_inliers[candidate] = static_cast<std::int64_t>(model.inliers.size());
    out_.scores[candidate] = score;
    std::copy_n(box, 4, out_.boxes.row(candidate));
    const double rows[9] = {t.a11, t.a12, t.b1, t.a21, t.a22, t.b2, 0, 0, 1};
    std::copy_n(rows, 9, out_.transforms.row(candidate));
}

// About 32 candidates of 100 matches, or a candidate alone: half a millisecond.
std::size_t candidates_a_chunk(const Shortlist& shortlist) {
    const std::size_t mean =
        shortlist.matches.rows / std::max<std::size_t>(shortlist.candidates(), 1);
    return std::clamp<std::size_t>(4096 / (mean + 1), 1, 64);
}

}  // namespace

void verify(const Shortlist& shortlist, const VerifyOptions& options, const Verification& out,
            int threads) {
    assert(options.residual_threshold > 0 && options.min_inliers >= 1);
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    std::fill(out.n_inliers.begin(), out.n_inliers.end(), 0);
    std::fill(out.scores.begin(), out.scores.end(), 0.0);
    std::fill(out.inliers.begin(), out.inliers.end(), false);
    std::fill_n(out.transforms.data, out.transforms.rows * out.transforms.cols, nan);
    std::fill_n(out.boxes.data, out.boxes.rows * out.boxes.cols, nan);

    std::vector<Affine> inverses(shortlist.query_frames.rows);
    InterruptPoll poll;
    for (std::size_t i = 0; i < inverses.size(); ++i) {
        poll.did(1);
        const Affine frame = affine_from_row(shortlist.query_frames.row(i));
        inverses[i] = is_regular(frame) ? inverse(frame) : Affine{nan, nan, nan, nan, nan, nan};
    }
    parallel_for(shortlist.candidates(), candidates_a_chunk(shortlist), threads,
                 [&](std::size_t begin, std::size_t end) {
                     Verifier verifier(shortlist, options, inverses, out);
                     for (std::size_t i = begin; i < end; ++i) verifier.verify(i);
                 });
}

}  // namespace trouvaille

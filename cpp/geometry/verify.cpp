// SPDX-License-Identifier: Apache-2.0
#include "geometry/verify.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
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
#include "geometry/fits.hpp"
#include "geometry/homography_fit.hpp"
#include "geometry/inliers.hpp"
#include "geometry/propose.hpp"
#include "geometry/transforms.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t max_proposers = 1024, max_refined = 6;
// Of many matches, these are enough to find what many agree on.
constexpr std::size_t first_proposers = 64, many_matches = 128, enough_inliers = 12;
// Where more pairs support each other, 150 matches or more agree (a pair in 100 does by chance),
// and enough of them are among few.
constexpr std::size_t max_edges = 16'384, few_proposers = 180;
constexpr double shrinking[] = {8, 4, 2, 1, 1};  // of the threshold, while refining
constexpr double bending[] = {8, 4, 2, 1, 1};    // the same, from affine to projective
// Two more parameters explain more by chance: an affine map must gain half a match more than a
// similarity, and a homography half a match more than an affine map.
constexpr double affine_penalty = 0.5, homography_penalty = 1;

struct Model {
    Affine transform;                   // unless it is a homography
    std::optional<Matrix3> homography;  // of depth 1 somewhere among its inliers
    double score = 0;  // the sum of its inliers' gains, less a penalty for its parameters
    std::vector<Inlier> inliers;
};

// Whether a homography's squares are less than an affine map's, of n pairs, by more than chance
// leaves in 1 of 100: by an F-test for its two more parameters, whose tail is
// (homography / affine)^(n - 4), as there are 2 n - 8 degrees of freedom.
bool is_significant(double affine, double homography, std::size_t n) {
    constexpr double rounding = 1e-6;  // square pixels a pair: below it nothing is significant
    const double both = rounding * static_cast<double>(n);
    const double ratio = (homography + both) / (affine + both);
    double chance = 1;
    for (std::size_t k = 4; k < n && chance >= 0.01 && ratio < 1; ++k) chance *= ratio;
    return chance < 0.01;
}

double square(double x) {
    return x * x;
}

class Verifier {
  public:
    Verifier(const Shortlist& shortlist, const VerifyOptions& options,
             std::span<const Affine> query_inverses, const Verification& out)
        : in_(shortlist),
          options_(options),
          query_inverses_(query_inverses),
          out_(out),
          threshold_(static_cast<float>(options.residual_threshold)),
          proposer_(options),
          finder_(shortlist.query_frames.rows) {}

    void verify(std::size_t candidate);

  private:
    std::optional<Model> estimate();
    bool is_spread(std::span<const Inlier> inliers);
    bool has_places(std::span<const std::size_t> matches);
    bool are_apart(std::size_t i, std::size_t j) const;
    void gather(std::size_t candidate);
    std::span<const Proposal> propose();
    void choose_proposers(std::size_t limit);
    Model refine_best(std::span<const Proposal> proposals);
    std::optional<Affine> refine(Affine transform, const Correspondences& c);
    std::optional<Affine> fit() const;
    void collect(const std::vector<Inlier>& inliers);
    Model evaluate(const Affine& transform, const CandidateMatches& matches);
    Model evaluate(const Matrix3& transform);
    void polish(Model& model);
    void bend(Model& model);
    bool is_plausible_at_inliers(const Model& model) const;
    void report(std::size_t candidate, const Model& model);

    Affine query_frame(const Inlier& inlier) const {
        const auto query = static_cast<std::size_t>(all_.query[inlier.match]);
        return affine_from_row(in_.query_frames.row(query));
    }
    double weight(std::size_t match) const { return in_.weights.empty() ? 1 : in_.weights[match]; }

    const Shortlist& in_;
    const VerifyOptions& options_;
    std::span<const Affine> query_inverses_;
    const Verification& out_;
    const ConsistencyKernels& kernels_ = consistency_kernels();
    float threshold_;

    InterruptPoll poll_;  // where the work grows with the candidate's matches

    // Working memory, kept from one candidate to the next.
    CandidateMatches all_, chosen_;
    const CandidateMatches* proposers_ = nullptr;  // all_, or chosen_ if there are too many
    Proposer proposer_;
    InlierFinder finder_;
    std::vector<std::size_t> order_;             // of proposals, best first
    std::vector<bool> explained_;                // by a refined proposal
    std::vector<std::size_t> matches_, places_;  // of inliers; of those that are apart
    std::vector<WeightedPair> fitted_;
};

void Verifier::verify(std::size_t candidate) {
    check_interrupt();  // the quadratic part takes milliseconds, and a chunk may have 64 of them
    gather(candidate);
    const auto model = estimate();
    if (model && is_spread(model->inliers)) report(candidate, *model);
}

// Are there min_inliers at different places? A corner that is detected many times says no more than
// once. Counted one after the other, and where that is not enough, those in the thick of it last.
bool Verifier::is_spread(std::span<const Inlier> inliers) {
    if (inliers.size() < options_.min_inliers) return false;
    matches_.clear();
    for (const Inlier& inlier : inliers) matches_.push_back(inlier.match);
    std::sort(matches_.begin(), matches_.end());
    if (has_places(matches_)) return true;
    std::vector<std::pair<std::size_t, std::size_t>> crowded;  // how many are near, and whom
    for (const std::size_t k : matches_) {
        poll_.did(matches_.size());
        const auto near = std::count_if(matches_.begin(), matches_.end(),
                                        [&](std::size_t other) { return !are_apart(k, other); });
        crowded.emplace_back(near, k);
    }
    std::sort(crowded.begin(), crowded.end());
    std::transform(crowded.begin(), crowded.end(), matches_.begin(),
                   [](const auto& item) { return item.second; });
    return has_places(matches_);
}

bool Verifier::has_places(std::span<const std::size_t> matches) {
    places_.clear();
    for (const std::size_t k : matches) {
        poll_.did(places_.size() + 1);
        if (std::all_of(places_.begin(), places_.end(),
                        [&](std::size_t other) { return are_apart(k, other); }))
            places_.push_back(k);
        if (places_.size() >= options_.min_inliers) return true;
    }
    return false;
}

bool Verifier::are_apart(std::size_t i, std::size_t j) const {
    const auto apart = [this](Point a, Point b) {
        return std::hypot(a.x - b.x, a.y - b.y) > threshold_;
    };
    const Correspondences& c = all_.pairs;
    return apart(c.query(i), c.query(j)) && apart(c.candidate(i), c.candidate(j));
}

std::optional<Model> Verifier::estimate() {
    if (all_.size() < options_.min_inliers) return std::nullopt;
    Model best;
    if (all_.size() > many_matches) {
        choose_proposers(first_proposers);
        best = refine_best(proposer_.propose(proposers_->pairs, max_edges).value());
        polish(best);
    }
    if (best.inliers.size() < std::max(enough_inliers, options_.min_inliers) ||
        !is_spread(best.inliers)) {
        best = refine_best(propose());
        polish(best);
    }
    if (options_.model == TransformModel::homography) bend(best);
    return best;
}

void Verifier::gather(std::size_t candidate) {
    const auto begin = static_cast<std::size_t>(in_.match_offsets[candidate]);
    const auto end = static_cast<std::size_t>(in_.match_offsets[candidate + 1]);
    const auto first_frame = static_cast<std::size_t>(in_.frame_offsets[candidate]);
    const auto n_frames = static_cast<std::size_t>(in_.frame_offsets[candidate + 1]) - first_frame;
    finder_.expect(n_frames);
    all_.reset(end - begin);
    for (std::size_t k = begin; k < end; ++k) {
        poll_.did(4);
        const std::int32_t query = in_.matches.row(k)[0], other = in_.matches.row(k)[1];
        const float* query_frame = in_.query_frames.row(static_cast<std::size_t>(query));
        const Affine frame = affine_from_row(
            in_.candidate_frames.row(first_frame + static_cast<std::size_t>(other)));
        const Affine local =
            compose_linear(frame, query_inverses_[static_cast<std::size_t>(query)]);
        // The inverse of a singular query frame is NaN, and what comes of it not plausible.
        if (!is_regular(frame) || !is_plausible(local, max_scale, max_scale)) continue;
        all_.pairs.push({query_frame[2], query_frame[5]}, {frame.b1, frame.b2}, local);
        all_.origin.push_back(k);
        all_.query.push_back(query);
        all_.candidate.push_back(other);
    }
    kernels_.complete(all_.pairs);
}

std::span<const Proposal> Verifier::propose() {
    choose_proposers(max_proposers);
    if (const auto proposals = proposer_.propose(proposers_->pairs, max_edges)) return *proposals;
    choose_proposers(few_proposers);  // who have no more pairs than max_edges
    return proposer_.propose(proposers_->pairs, max_edges).value();
}

void Verifier::choose_proposers(std::size_t limit) {
    proposers_ = &all_;
    if (all_.size() <= limit) return;
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
    const auto last = keys.begin() + static_cast<std::ptrdiff_t>(limit);
    std::nth_element(keys.begin(), last, keys.end(), [this](const Key& a, const Key& b) {
        poll_.did(1);
        return std::tie(b.weight, a.shuffle, a.k) < std::tie(a.weight, b.shuffle, b.k);
    });
    std::sort(keys.begin(), last, [](const Key& a, const Key& b) { return a.k < b.k; });
    chosen_.reset(limit);
    for (auto key = keys.begin(); key != last; ++key) chosen_.push_from(all_, key->k);
    proposers_ = &chosen_;
}

// The best of the proposals, refined. Left out are those whose matches are inliers of an earlier
// one, which would lead to the same transform, and those with fewer supporters than the best has
// inliers.
Model Verifier::refine_best(std::span<const Proposal> proposals) {
    order_.resize(proposals.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [proposals](std::size_t a, std::size_t b) {
        return std::tie(proposals[b].score, a) < std::tie(proposals[a].score, b);
    });
    explained_.assign(proposers_->size(), false);
    Model best;
    std::size_t tried = 0;
    for (const std::size_t p : order_) {
        const Proposal& proposal = proposals[p];
        if (explained_[proposal.made_from.first] && explained_[proposal.made_from.second]) continue;
        if (proposal.supporters < best.inliers.size()) continue;
        if (++tried > max_refined) break;
        Model model = evaluate(proposal.transform, *proposers_);
        if (const auto refined = refine(proposal.transform, proposers_->pairs)) {
            Model better = evaluate(*refined, *proposers_);
            if (better.inliers.size() >= model.inliers.size()) model = std::move(better);
        }
        for (const Inlier& inlier : model.inliers) explained_[inlier.match] = true;
        if (model.score > best.score) best = std::move(model);
    }
    return best;
}

// Iterated least squares, weighted by 1 - square / threshold^2, while the threshold shrinks.
std::optional<Affine> Verifier::refine(Affine transform, const Correspondences& c) {
    for (const double factor : shrinking) {
        finder_.near(c, transform, square(factor * threshold_), fitted_);
        const auto next = fit();
        if (!next) return std::nullopt;
        transform = *next;
    }
    return transform;
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
        !determines_affine(moments, similarity->transform.determinant(), threshold_))
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

// Sets fitted_ to inliers among all matches.
void Verifier::collect(const std::vector<Inlier>& inliers) {
    fitted_.clear();
    for (const Inlier& inlier : inliers)
        fitted_.push_back(
            {all_.pairs.query(inlier.match), all_.pairs.candidate(inlier.match), inlier.gain});
}

Model Verifier::evaluate(const Affine& transform, const CandidateMatches& matches) {
    Model model{transform, {}, is_similarity(transform) ? 0 : -affine_penalty, {}};
    model.inliers = finder_.inliers(matches, transform, threshold_);
    for (const Inlier& inlier : model.inliers) model.score += inlier.gain;
    return model;
}

Model Verifier::evaluate(const Matrix3& transform) {
    Model model{{}, transform, -homography_penalty, {}};
    model.inliers = finder_.inliers(all_, transform, threshold_);
    for (const Inlier& inlier : model.inliers) model.score += inlier.gain;
    return model;
}

// Refines the model with all matches, if not all were proposers, and fits it to all its inliers.
void Verifier::polish(Model& model) {
    if (model.inliers.empty()) return;
    if (proposers_ != &all_) {
        model = evaluate(model.transform, all_);
        if (const auto refined = refine(model.transform, all_.pairs)) {
            Model better = evaluate(*refined, all_);
            if (better.score > model.score) model = std::move(better);
        }
    }
    for (int iteration = 0; iteration < 2; ++iteration) {
        collect(model.inliers);
        check_interrupt();
        const auto next = fit();
        if (!next) return;
        Model better = evaluate(*next, all_);
        if (!(better.score > model.score)) return;
        model = std::move(better);
    }
}

// Replaces the model by a homography, if its inliers determine one (an error of a quarter of the
// threshold in each moves their region's edge by half of one at most) that explains them better
// than their best affine map does, significantly and by more than the penalty.
void Verifier::bend(Model& model) {
    constexpr double least_information = 0.25;
    if (model.inliers.size() < 5) return;
    Matrix3 transform = homography_from(model.transform);
    const auto fit_bent = [this](const Moments& moments) {
        auto fit = fit_homography(fitted_, moments, poll_);
        if (fit && fit->information < least_information) fit.reset();
        return fit;
    };
    for (const double factor : bending) {
        finder_.near(all_.pairs, transform, square(factor * threshold_), fitted_);
        const auto fit = fit_bent(Moments::of(fitted_));
        if (!fit) return;
        transform = fit->transform;
    }
    Model bent = evaluate(transform);
    collect(bent.inliers);
    const Moments moments = Moments::of(fitted_);
    const auto affine = fit_affine(moments);
    const auto fit = fit_bent(moments);
    if (!affine || !fit || !is_significant(affine->squares, fit->squares, fitted_.size())) return;
    Model polished = evaluate(fit->transform);
    if (polished.score > bent.score) bent = std::move(polished);
    if (bent.score > model.score && is_plausible_at_inliers(bent)) model = std::move(bent);
}

// Whether the homography is plausible at each inlier, and the ellipses of all are before the
// horizon; then so is all that lies between them, as the depth is linear.
bool Verifier::is_plausible_at_inliers(const Model& model) const {
    const Matrix3& h = *model.homography;
    // Divided by h33, it must still be a homography.
    if (!(std::abs(h(2, 2)) > 1e-6)) return false;
    return std::all_of(model.inliers.begin(), model.inliers.end(), [&](const Inlier& inlier) {
        const Affine f = query_frame(inlier);
        const double across = h(2, 0) * f.a11 + h(2, 1) * f.a21,
                     along = h(2, 0) * f.a12 + h(2, 1) * f.a22;
        const Point centre{f.b1, f.b2};
        return depth(h, centre) > std::sqrt(across * across + along * along) &&
               is_plausible(tangent(h, centre), max_scale, max_tilt);
    });
}

void Verifier::report(std::size_t candidate, const Model& model) {
    const Matrix3 h = model.homography.value_or(homography_from(model.transform));
    double score = 0;
    Box box;
    for (const Inlier& inlier : model.inliers) {
        poll_.did(1);
        const std::size_t match = all_.origin[inlier.match];
        out_.inliers[match] = true;
        score += weight(match);
        const Affine frame = query_frame(inlier);
        box.include(model.homography ? bounds(h, frame) : bounds(compose(model.transform, frame)));
    }
    out_.n_inliers[candidate] = static_cast<std::int64_t>(model.inliers.size());
    out_.scores[candidate] = score;
    const double sides[4] = {box.x1, box.y1, box.x2, box.y2};
    std::copy_n(sides, 4, out_.boxes.row(candidate));
    std::transform(h.of.begin(), h.of.end(), out_.transforms.row(candidate),
                   [&h](double x) { return x / h(2, 2); });
}

// About 40 candidates of 100 matches, or a candidate alone: a third of a millisecond.
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

// SPDX-License-Identifier: Apache-2.0
#pragma once

// Random sample consensus, once for all models. Included by the files that instantiate it.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "core/interrupt.hpp"
#include "geometry/certainty.hpp"
#include "geometry/fits.hpp"
#include "geometry/ransac_kernels.hpp"
#include "geometry/sampler.hpp"
#include "geometry/wald.hpp"

namespace trouvaille {

struct RansacOptions {
    double threshold = 1;  ///< of residuals, in normalised coordinates; positive
    std::uint64_t max_trials = 10'000;
    double confidence = 0.999;  ///< that no better model has been missed by chance
    std::uint64_t seed = 0;
    bool ordered = false;  ///< is the pool in the order of quality, best first?
    Loss loss{};
};

struct Consensus {
    Matrix3 model;  // in normalised coordinates
    Support support;
    std::uint64_t trials = 0;
    std::uint64_t hypotheses = 0;  // that samples made
};

/// A robust estimator of `Model`, whose hypotheses `Solver` makes from samples.
///
/// Model:   square<N>(matrix, matches) and square(matrix, p, q), the squared residual;
///          fit(weighted pairs, matrix), a step of least squares; alike, residual_dimensions,
///          freedom.
/// Solver:  sample_size; Samples; solve<N>(samples, lane, models); of frames also slack, how many
///          thresholds its hypotheses may miss inliers by.
///
/// Sixteen samples at a time are drawn, solved and tried on the first few matches; what passes
/// Wald's test is tried on all. Each best hypothesis so far is refined by least squares on its
/// inliers, while the threshold shrinks. It ends when a better one would have been met with the
/// confidence that is asked for.
///
/// Chum, Matas, Kittler. Locally optimized RANSAC. DAGM 2003.
template <class Model, class Solver>
class Ransac {
  public:
    Ransac(const PointPairs& points, std::span<const std::uint32_t> pool,
           const RansacOptions& options)
        : points_(points),
          pool_(pool),
          options_(options),
          limit_(limit_of(options.threshold)),
          wide_limit_(limit_ * slack * slack),
          max_trials_(trials_worth(pool.size(), options)),
          sampler_(pool, Solver::sample_size, options.ordered, max_trials_ / 8 * 7, options.seed),
          weights_(points.blocks() * PointPairs::block),
          certainty_(pool.size(), Solver::sample_size, reliability) {}

    /// The pool has at least Solver::sample_size matches.
    Consensus run() {
        const double failing = 1 - options_.confidence;
        const double rarest = 1 - std::pow(failing, 1 / static_cast<double>(max_trials_));
        // The rarest inliers that so many trials may find, and fewer: a hypothesis of noisy points
        // explains some of them, and where the best come first rarer ones are found.
        expect((options_.ordered ? 0.15 : 0.35) * std::pow(rarest, 1.0 / Solver::sample_size));
        const double wanted = -std::log(failing);
        do {
            try_batch();
            check_interrupt();
        } while (best_.trials < max_trials_ && certainty_.value() < wanted);
        return finished();
    }

    const Consensus& best() const { return best_; }

    /// Refines a model, found elsewhere, as if it had been met on the way.
    void consider(Consensus candidate) {
        refine(candidate);
        if (candidate.support.gain > best_.support.gain) replace_best(candidate);
    }

    /// The best, refined until it explains hardly more. The last step counts though float32 may
    /// not see that it is the better one.
    Consensus finished() {
        constexpr int steps = 10;
        for (int i = 0; i < steps && best_.support.inliers > 0; ++i) {
            Matrix3 model = best_.model;
            if (!fit(model, limit_)) break;
            const Support support = measure(model);
            const std::int64_t gained = support.gain - best_.support.gain;
            if (1000 * gained < -best_.support.gain) break;
            best_.model = model;
            best_.support = support;
            if (10'000 * gained < support.gain) break;
        }
        return best_;
    }

    Support measure(const Matrix3& model) const {
        Support support;
        kernels_.support(narrow(model).data(), points_, options_.loss, limit_, {}, support);
        return support;
    }

  private:
    static constexpr std::size_t n_probed = 32;  // matches
    static constexpr bool from_frames = requires { Solver::slack; };
    static constexpr float slack = [] {
        if constexpr (from_frames) return Solver::slack;
        return 2.0F;  // hypotheses of few points are off by more than the noise
    }();
    // A hypothesis from one frame is so far off that only refining tells, and there are but few.
    static constexpr std::uint64_t trials_a_refinement = Solver::sample_size == 1 ? 4 : 50;
    // Not each sample of right matches leads to the model where frames are as noisy as they are.
    static constexpr double reliability = from_frames ? 0.2 : 1;

    // The squared thresholds of least squares, relative to the given one. An epipolar line gives
    // but half of what a point gives, and takes longer to settle.
    static std::span<const float> steps() {
        static constexpr float of_frames[] = {64, 32, 16, 8, 4, 2, 1, 1};
        static constexpr float of_lines[] = {9, 9, 4, 4, 2, 1, 1};
        static constexpr float of_points[] = {4, 2, 1, 1};
        if (from_frames) return of_frames;
        if (Model::residual_dimensions == 1) return of_lines;
        return of_points;
    }

    using Floats9 = std::array<float, 9>;

    // No more than meet each of the samples there are with the confidence that is asked for.
    static std::uint64_t trials_worth(std::size_t pool, const RansacOptions& options) {
        if (Solver::sample_size == 1) return std::min<std::uint64_t>(options.max_trials, pool);
        double samples = 1;
        for (std::size_t i = 0; i < Solver::sample_size; ++i)
            samples *= static_cast<double>(pool - i) / static_cast<double>(i + 1);
        const double worth = samples * std::max(-std::log(1 - options.confidence), 1.0);
        return worth < static_cast<double>(options.max_trials)
                   ? static_cast<std::uint64_t>(std::ceil(worth))
                   : options.max_trials;
    }

    // Squared; within what residuals in float32 resolve.
    static float limit_of(double threshold) {
        const auto t = static_cast<float>(std::clamp(threshold, 1e-5, 1e6));
        return t * t;
    }

    static Floats9 narrow(const Matrix3& m) {
        Floats9 result;
        for (std::size_t e = 0; e < 9; ++e) result[e] = static_cast<float>(m.of[e]);
        return result;
    }

    void try_batch() {
        std::uint32_t sample[Solver::sample_size];
        Words words;
        kernels_.draw(options_.seed, best_.trials, words);
        for (std::size_t l = 0; l < batch; ++l) {
            sampler_.draw(best_.trials + l,
                          {words.of[0][l], words.of[1][l], words.of[2][l], words.of[3][l]}, sample);
            for (std::size_t i = 0; i < Solver::sample_size; ++i)
                for (std::size_t c = 0; c < std::extent_v<decltype(samples_.of), 1>; ++c)
                    samples_.of[i][c][l] =
                        points_.floats(static_cast<PointPairs::Column>(c))[sample[i]];
        }
        best_.trials += batch;
        kernels_.solve(samples_, models_);
        best_.hypotheses += models_.count;
        const std::size_t n = std::min(points_.size(), n_probed);
        std::int32_t inliers[Models::capacity];
        kernels_.probe(models_, points_, wide_limit_, n, inliers);
        judge(inliers, n);
        certainty_.drew(batch, sampler_.open());
        refine_promising();
    }

    // What of the batch is not given up, best first. What is given up tells what chance explains.
    void judge(const std::int32_t* inliers, std::size_t n) {
        promising_.clear();
        for (std::size_t i = 0; i < models_.count; ++i) {
            Consensus hypothesis{models_[i], {}};
            if (!test_.rejected(inliers[i], n) &&
                kernels_.support(narrow(hypothesis.model).data(), points_, options_.loss,
                                 wide_limit_, test_.rejected, hypothesis.support)) {
                promising_.push_back(hypothesis);
                continue;
            }
            probed_ += static_cast<double>(n);
            explained_ += inliers[i];
        }
        std::stable_sort(
            promising_.begin(), promising_.end(),
            [](const Consensus& a, const Consensus& b) { return a.support.gain > b.support.gain; });
    }

    // Refines the best so far, and now and then one that is nearly as good: it may lead farther.
    void refine_promising() {
        for (const Consensus& hypothesis : promising_) {
            const std::int64_t gain = hypothesis.support.gain;
            const bool best = gain > best_raw_.gain;
            if (!best &&
                (4 * gain < 3 * best_raw_.gain || refined_ * trials_a_refinement > best_.trials))
                return;
            ++refined_;
            if (best) {
                best_raw_ = hypothesis.support;
                expect(0.7 * ratio(best_raw_.inliers));
            }
            consider({hypothesis.model, measure(hypothesis.model)});
        }
    }

    double ratio(std::int32_t inliers) const {
        return static_cast<double>(inliers) / static_cast<double>(points_.size());
    }

    void refine(Consensus& c) {
        Matrix3 model = c.model;
        for (const float step : steps()) {
            if (!fit(model, limit_ * step)) return;
            const Support support = measure(model);
            if (support.gain <= c.support.gain) continue;
            c.support = support;
            c.model = model;
        }
    }

    // A step of least squares on the matches that the model explains.
    bool fit(Matrix3& model, float limit) {
        kernels_.weigh(narrow(model).data(), points_, options_.loss, limit, weights_.data());
        gather();
        return fitted_.size() >= Solver::sample_size && Model::fit(fitted_, model);
    }

    // The matches that have a weight. No branch, since which these are is hard to foresee.
    void gather() {
        fitted_.resize(points_.size());
        std::size_t n = 0;
        for (std::size_t k = 0; k < points_.size(); ++k) {
            fitted_[n] = {points_.first(k), points_.second(k), static_cast<double>(weights_[k])};
            n += weights_[k] > 0 ? 1 : 0;
        }
        fitted_.resize(n);
    }

    void replace_best(const Consensus& candidate) {
        best_.model = candidate.model;
        best_.support = candidate.support;
        const auto limit = static_cast<double>(limit_);
        certainty_.update(chance_ratio(), test_.passing, [&](std::size_t i) {
            const std::uint32_t k = pool_[i];
            return Model::square(best_.model, points_.first(k), points_.second(k)) <= limit;
        });
    }

    // How often a wrong model explains a match: of those given up, and 0.02 before there are any.
    double chance_ratio() const { return (explained_ + 0.02 * 500) / (probed_ + 500); }

    // From now on hypotheses that explain less than this ratio may be given up. It is to be smaller
    // than that of the inliers: a model of few noisy points explains only some of them.
    void expect(double ratio) {
        expected_ = std::clamp(ratio, std::max(expected_, 1e-9), 0.95);
        constexpr double solving = 100;
        test_ = WaldTest::between(expected_, std::min(chance_ratio(), expected_ / 2), solving);
    }

    const PointPairs& points_;
    std::span<const std::uint32_t> pool_;
    const RansacOptions& options_;
    const RansacKernels<Model, Solver>& kernels_ = ransac_kernels<Model, Solver>();
    float limit_, wide_limit_;  // squared
    std::uint64_t max_trials_;
    Sampler sampler_;
    typename Solver::Samples samples_;
    Models models_;
    std::vector<float> weights_;
    std::vector<WeightedPair> fitted_;
    Consensus best_;
    std::vector<Consensus> promising_;  // hypotheses of the batch
    std::uint64_t refined_ = 0;
    Support best_raw_;  // of a hypothesis before it was refined
    double probed_ = 0, explained_ = 0;
    double expected_ = 0;
    WaldTest test_;
    Certainty certainty_;
};

}  // namespace trouvaille

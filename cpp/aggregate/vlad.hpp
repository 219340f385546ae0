// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "aggregate/normalize.hpp"
#include "core/view.hpp"

namespace trouvaille {

/// The vectors of locally aggregated descriptors of photos: row i of `out` holds, for each word c,
/// the sum of a (x - c) over the descriptors x of photo i that c is among the words of; with
/// `unit_residuals` that of a (x - c) / |x - c|, nothing for a descriptor that is its word.
///
/// The descriptors of photo i are rows offsets[i] to offsets[i + 1] of `x`; row j of `ids` holds
/// the words of descriptor j (without columns it is the nearest, as `exact_neighbors` finds it),
/// and row j of `weights` what each counts, a (without columns, 1).
///
/// Sums are float64 in the order of the descriptors, exact for bytes and weights of 1; what follows
/// (normalize.hpp) is float64, too, and rounded once: within 2^-23 of the formula's, relative to
/// the largest number of a vector of length 1. The same bits on every instruction set and for any
/// number of threads (for powers other than 1 and 1/2 as far as libm's pow is).
///
/// Requires as many rows of `ids` and `weights`, if they have columns, as of `x`, ids below
/// words.rows, offsets that do not decrease from 0 to x.rows, one more than out.rows, and
/// out.cols == words.rows * words.cols, words.cols == x.cols. Parallel over photos; scratch memory
/// is a row of float64 a thread. Safe to call from many threads; throws Interrupted.
///
/// Jegou, Douze, Schmid, Perez. Aggregating local descriptors into a compact image representation.
/// CVPR 2010. Delhumeau, Gosselin, Jegou, Perez. Revisiting the VLAD image representation. ACM
/// Multimedia 2013.
template <class T>
void vlad(MatrixView<const T> x, std::span<const std::int64_t> offsets, MatrixView<const T> words,
          MatrixView<const std::int64_t> ids, MatrixView<const float> weights, bool unit_residuals,
          const Normalization& normalization, MatrixView<float> out, int threads);

/// How much each of a descriptor's nearest words counts: exp(-scale * squared distance), of all of
/// a row divided by their sum; what is less than 1e-12 of the nearest word's is 0. Distances must
/// be those of `exact_neighbors`: the nearest first.
///
/// Philbin, Chum, Isard, Sivic, Zisserman. Lost in quantization: improving particular object
/// retrieval in large scale image databases. CVPR 2008.
template <class Distance>
void soft_weights(MatrixView<const Distance> distances, double scale, MatrixView<float> weights,
                  int threads);

}  // namespace trouvaille

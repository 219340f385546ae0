// SPDX-License-Identifier: Apache-2.0
#include "neighbors/lsh_functions.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/interrupt.hpp"
#include "core/random.hpp"
#include "neighbors/lsh_rows.hpp"

namespace trouvaille {
namespace {

constexpr std::size_t largest_sample = 2'048, largest_sample_values = std::size_t{1} << 23;
constexpr std::int32_t many_cells = 1 << 14;

// All in float64 and one fixed order.

using Direction = std::vector<double>;

/// Some points less their mean.
struct Sample {
    std::vector<double> values, mean;
    std::size_t rows, dims;

    const double* row(std::size_t i) const { return &values[i * dims]; }
};

template <class T>
Sample draw_sample(MatrixView<const T> points, const HashOptions& options) {
    const std::size_t dims = lsh::dims_of(points, options.packed_bits);
    const std::size_t most =
        std::max<std::size_t>(largest_sample_values / std::max<std::size_t>(dims, 1), 64);
    Sample sample{
        {}, std::vector<double>(dims), std::min({points.rows, largest_sample, most}), dims};
    std::vector<float> row(dims);
    sample.values.resize(sample.rows * dims);
    for (std::size_t i = 0; i < sample.rows; ++i) {
        lsh::widen(points.row(i * points.rows / sample.rows), row, options.packed_bits);
        std::copy(row.begin(), row.end(), &sample.values[i * dims]);
        for (std::size_t d = 0; d < dims; ++d) sample.mean[d] += double{row[d]};
    }
    for (double& mean : sample.mean)
        mean =
            static_cast<float>(mean / static_cast<double>(std::max<std::size_t>(sample.rows, 1)));
    for (std::size_t i = 0; i < sample.rows; ++i)
        for (std::size_t d = 0; d < dims; ++d) sample.values[i * dims + d] -= sample.mean[d];
    return sample;
}

double dot(const double* a, const double* b, std::size_t dims) {
    double sum = 0;
    for (std::size_t d = 0; d < dims; ++d) sum += a[d] * b[d];
    return sum;
}

void scale_to_unit(Direction& direction) {
    const double norm = std::sqrt(dot(direction.data(), direction.data(), direction.size()));
    for (double& value : direction) value = norm > 0 && std::isfinite(norm) ? value / norm : 0;
}

/// A normal vector of equal variances. Sums of twelve uniform numbers are normal enough, and need
/// no logarithm, of which each C library has another last bit.
Direction draw_anywhere(const Sample& sample, Random& random) {
    Direction direction(sample.dims);
    for (double& value : direction)
        for (int i = 0; i < 12; ++i) value += static_cast<double>(random.next()) * 0x1p-32 - 0.5;
    scale_to_unit(direction);
    return direction;
}

/// A normal vector times the sample's covariance, and again: most go where the points differ most.
Direction draw_along(const Sample& sample, Random& random) {
    Direction direction = draw_anywhere(sample, random);
    InterruptPoll poll;
    constexpr int turns = 2;
    for (int turn = 0; turn < turns; ++turn) {
        Direction product(sample.dims);
        for (std::size_t i = 0; i < sample.rows; ++i) {
            const double* x = sample.row(i);
            const double along = dot(x, direction.data(), sample.dims);
            for (std::size_t d = 0; d < sample.dims; ++d) product[d] += along * x[d];
            poll.did(sample.dims / 4 + 1);
        }
        scale_to_unit(product);
        direction = std::move(product);
    }
    return direction;
}

/// Makes the directions orthogonal to those before, by Gram and Schmidt, each twice; where nothing
/// is left of one it stays as it is, and those after become orthogonal to it.
void orthogonalize(std::vector<Direction>& directions) {
    InterruptPoll poll;
    std::size_t first = 0;
    for (std::size_t i = 0; i < directions.size(); ++i) {
        Direction rest = directions[i];
        for (int time = 0; time < 2; ++time)
            for (std::size_t j = first; j < i; ++j) {
                const double along = dot(rest.data(), directions[j].data(), rest.size());
                for (std::size_t d = 0; d < rest.size(); ++d) rest[d] -= along * directions[j][d];
                poll.did(rest.size() / 4 + 1);
            }
        if (dot(rest.data(), rest.data(), rest.size()) > 1e-12) {
            scale_to_unit(rest);
            directions[i] = std::move(rest);
        } else {
            first = i;
        }
    }
}

std::vector<double> project(const Sample& sample, const Direction& direction) {
    std::vector<double> along(sample.rows);
    for (std::size_t i = 0; i < sample.rows; ++i)
        along[i] = dot(sample.row(i), direction.data(), sample.dims);
    return along;
}

/// Between the two in the middle, or the one.
double median(std::vector<double> values) {
    if (values.empty()) return 0;
    const auto upper = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), upper, values.end());
    if (values.size() % 2 != 0) return *upper;
    return (*upper + *std::max_element(values.begin(), upper)) / 2;
}

/// Writes functions one after the other.
class Writer {
  public:
    Writer(HashFunctionsData& data, std::size_t functions) : data_(data), columns_(functions) {
        data.offsets.resize(columns_);
        data.directions.resize(data.center.size() * columns_);
    }
    void write(const Direction& direction, double scale, double offset) {
        for (std::size_t d = 0; d < direction.size(); ++d)
            data_.directions[d * columns_ + next_] = static_cast<float>(direction[d] * scale);
        data_.offsets[next_++] = static_cast<float>(offset);
    }
    /// 1/2 where the bit is set, -1/2 where it is not or there is no such bit.
    void write_bit(std::size_t bit) {
        const bool exists = bit < data_.center.size();
        if (exists) data_.directions[bit * columns_ + next_] = 1;
        data_.offsets[next_++] = 0.5F - (exists ? data_.center[bit] : 0.0F);
    }

  private:
    HashFunctionsData& data_;
    std::size_t columns_, next_ = 0;
};

struct KeyFunction {
    Direction direction;
    double median, variance;
};

std::vector<KeyFunction> draw_keys(const Sample& sample, const HashOptions& options) {
    std::vector<KeyFunction> keys;
    for (std::size_t t = 0; t < options.tables; ++t) {
        std::vector<Direction> directions;
        for (std::size_t m = 0; m < options.functions; ++m) {
            Random random(options.seed, t << 8 | m);
            directions.push_back(draw_along(sample, random));
        }
        orthogonalize(directions);
        for (const Direction& direction : directions) {
            const auto along = project(sample, direction);
            const double variance = dot(along.data(), along.data(), along.size()) /
                                    static_cast<double>(std::max<std::size_t>(along.size(), 1));
            keys.push_back({direction, median(along), variance});
        }
    }
    return keys;
}

/// One over the width of the intervals.
double scale_for(const std::vector<KeyFunction>& keys, const HashOptions& options) {
    double variance = 0;
    for (const KeyFunction& key : keys) variance += key.variance / static_cast<double>(keys.size());
    const double scale = 1 / (options.width > 0 ? options.width : std::sqrt(variance));
    return scale > 1e-30 && scale < 1e30 ? scale : 1;
}

constexpr std::uint64_t of_sketches = std::uint64_t{1} << 40, of_offsets = of_sketches + 1,
                        of_bits = of_sketches + 2;

/// Returns the scale of all values.
double draw_key_directions(const Sample& sample, const HashOptions& options,
                           HashFunctionsData& data, Writer& writer) {
    const bool sides = options.family == HashFamily::hyperplanes;
    const auto keys = draw_keys(sample, options);
    const double scale = scale_for(keys, options);
    Random random(options.seed, of_offsets);
    for (const KeyFunction& key : keys)
        writer.write(key.direction, scale, sides ? key.median * scale : random.uniform());
    if (!sides) {
        data.reach = many_cells;
        for (std::uint32_t& multiplier : data.multipliers) multiplier = random.next() | 1;
    }
    return scale;
}

/// The numbers of `bits` in random order.
void shuffle(std::vector<std::size_t>& bits, Random& random) {
    for (std::size_t i = bits.size(); i > 1; --i) std::swap(bits[i - 1], bits[random.below(i)]);
}

/// Of those that are not nearly always the same, while there are.
void draw_key_bits(const Sample& sample, const HashOptions& options, Writer& writer) {
    constexpr double rare = 0.1;
    std::vector<std::size_t> bits;
    for (std::size_t d = 0; d < sample.dims; ++d)
        if (sample.mean[d] >= rare && sample.mean[d] <= 1 - rare) bits.push_back(d);
    if (bits.size() < options.functions) {
        bits.resize(sample.dims);
        std::iota(bits.begin(), bits.end(), std::size_t{0});
    }
    Random random(options.seed, of_bits);
    for (std::size_t i = 0; i < options.tables * options.functions; ++i) {
        if (i % bits.size() == 0) shuffle(bits, random);
        writer.write_bit(bits[i % bits.size()]);
    }
}

/// Of packed bits some of themselves, of others signs.
void draw_sketch(const Sample& sample, const HashOptions& options, double scale, Writer& writer) {
    const std::size_t sketch_bits = 8 * options.sketch_bytes;
    Random random(options.seed, of_sketches);
    if (options.packed_bits) {
        std::vector<std::size_t> bits(sample.dims);
        std::iota(bits.begin(), bits.end(), std::size_t{0});
        shuffle(bits, random);
        bits.resize(sketch_bits, sample.dims);
        for (const std::size_t bit : bits) writer.write_bit(bit);
        return;
    }
    std::vector<Direction> directions;
    for (std::size_t i = 0; i < sketch_bits; ++i)
        directions.push_back(draw_anywhere(sample, random));
    orthogonalize(directions);
    for (const Direction& direction : directions) writer.write(direction, scale, 0);
}

}  // namespace

template <class T>
HashFunctionsData draw_functions(MatrixView<const T> points, const HashOptions& options) {
    const Sample sample = draw_sample(points, options);
    HashFunctionsData data;
    data.sketch_bits = 8 * options.sketch_bytes;
    data.packed_bits = options.packed_bits;
    data.multipliers.resize(options.tables * options.functions);
    for (std::size_t i = 0; i < data.multipliers.size(); ++i)
        data.multipliers[i] = std::uint32_t{1} << i % options.functions;
    const bool bits = options.family == HashFamily::bits;
    data.center.assign(sample.mean.begin(), sample.mean.end());
    if (bits) std::fill(data.center.begin(), data.center.end(), 0.0F);  // costs are equal then
    Writer writer(data, data.multipliers.size() + data.sketch_bits);
    double scale = 1;
    if (bits)
        draw_key_bits(sample, options, writer);
    else
        scale = draw_key_directions(sample, options, data, writer);
    draw_sketch(sample, options, scale, writer);
    return data;
}

template HashFunctionsData draw_functions(MatrixView<const std::uint8_t>, const HashOptions&);
template HashFunctionsData draw_functions(MatrixView<const float>, const HashOptions&);

}  // namespace trouvaille

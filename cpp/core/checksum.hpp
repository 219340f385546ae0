// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace trouvaille {

/// CRC-32C (Castagnoli) of `bytes`, continuing from `crc`: crc32c(b, crc32c(a)) is that of a
/// followed by b. Uses the CPU's instruction where there is one. crc32c("123456789") is
/// 0xE3069283 (RFC 3720, B.4).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

/// The CRCs of the blocks of `data`, `block` bytes each but for the last: that of block i continues
/// from the CRC of `tag` followed by the number first + i, 8 bytes, the lowest first.
///
/// Four blocks at a time: one chain of the CPU's instruction mostly waits for itself. Requires
/// crcs.size() = the number of blocks, block >= 1. Throws Interrupted (core/interrupt.hpp).
void crc32c_of_blocks(std::span<const std::byte> data, std::size_t block,
                      std::span<const std::byte> tag, std::uint64_t first,
                      std::span<std::uint32_t> crcs);

}  // namespace trouvaille

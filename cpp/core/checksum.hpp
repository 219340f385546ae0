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

}  // namespace trouvaille

// SPDX-License-Identifier: Apache-2.0
#include "core/checksum.hpp"

#include <array>
#include <cstring>

#include "core/cpu.hpp"
#include "core/target.hpp"

#if TROUVAILLE_X86
#include <nmmintrin.h>
#endif

namespace trouvaille {
namespace {

// Eight tables, so that the plain version takes eight bytes a step: tables[j][b] is the CRC of
// byte b followed by j zero bytes.
constexpr std::array<std::array<std::uint32_t, 256>, 8> make_tables() {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78 : 0);
        tables[0][byte] = crc;
    }
    for (std::size_t j = 1; j < 8; ++j)
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t crc = tables[j - 1][byte];
            tables[j][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
        }
    return tables;
}

constexpr auto tables = make_tables();

std::uint32_t scalar(const unsigned char* p, std::size_t n, std::uint32_t crc) {
    for (; n >= 8; n -= 8, p += 8) {
        std::uint32_t next = 0;
        for (std::uint32_t i = 0; i < 4; ++i)
            next ^= tables[7 - i][((crc >> (8 * i)) & 0xFF) ^ p[i]] ^ tables[3 - i][p[4 + i]];
        crc = next;
    }
    for (; n > 0; --n) crc = (crc >> 8) ^ tables[0][(crc & 0xFF) ^ *p++];
    return crc;
}

#if TROUVAILLE_X86
TARGET("sse4.2")
std::uint32_t instruction(const unsigned char* p, std::size_t n, std::uint32_t crc) {
    std::uint64_t wide = crc;
    for (; n >= 8; n -= 8, p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = static_cast<std::uint32_t>(wide);
    for (; n > 0; --n) crc = _mm_crc32_u8(crc, *p++);
    return crc;
}
constexpr decltype(&scalar) variants[isa_count] = {scalar, instruction, instruction};
#else
constexpr decltype(&scalar) variants[isa_count] = {scalar, scalar, scalar};
#endif

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) {
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
    return ~pick(variants)(p, bytes.size(), ~crc);
}

}  // namespace trouvaille

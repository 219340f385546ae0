// SPDX-License-Identifier: Apache-2.0
#include "core/checksum.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/cpu.hpp"
#include "core/interrupt.hpp"
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

constexpr std::size_t together = 4;  // chains of instructions

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

/// Those of `together` pieces of n bytes each.
void scalar_pieces(const unsigned char* p, std::size_t n, std::uint32_t* crcs) {
    for (std::size_t i = 0; i < together; ++i) crcs[i] = scalar(p + i * n, n, crcs[i]);
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

TARGET("sse4.2")
void instruction_pieces(const unsigned char* p, std::size_t n, std::uint32_t* crcs) {
    std::uint64_t wide[together];
    for (std::size_t i = 0; i < together; ++i) wide[i] = crcs[i];
    const std::size_t whole = n / 8 * 8;
    for (std::size_t at = 0; at < whole; at += 8)
#pragma GCC unroll 4
        for (std::size_t i = 0; i < together; ++i) {
            std::uint64_t word;
            std::memcpy(&word, p + i * n + at, 8);
            wide[i] = _mm_crc32_u64(wide[i], word);
        }
    for (std::size_t i = 0; i < together; ++i)
        crcs[i] = instruction(p + i * n + whole, n - whole, static_cast<std::uint32_t>(wide[i]));
}

constexpr decltype(&scalar) variants[isa_count] = {scalar, instruction, instruction};
constexpr decltype(&scalar_pieces) of_pieces[isa_count] = {scalar_pieces, instruction_pieces,
                                                           instruction_pieces};
#else
constexpr decltype(&scalar) variants[isa_count] = {scalar, scalar, scalar};
constexpr decltype(&scalar_pieces) of_pieces[isa_count] = {scalar_pieces, scalar_pieces,
                                                           scalar_pieces};
#endif

std::uint32_t seed_of(std::span<const std::byte> tag, std::uint64_t number) {
    std::byte bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
    return crc32c(bytes, crc32c(tag));
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) {
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
    return ~pick(variants)(p, bytes.size(), ~crc);
}

void crc32c_of_blocks(std::span<const std::byte> data, std::size_t block,
                      std::span<const std::byte> tag, std::uint64_t first,
                      std::span<std::uint32_t> crcs) {
    const auto pieces = pick(of_pieces);
    InterruptPoll poll;
    std::size_t i = 0;
    for (; i + together <= data.size() / block; i += together) {
        std::uint32_t chains[together];
        for (std::size_t j = 0; j < together; ++j) chains[j] = ~seed_of(tag, first + i + j);
        pieces(reinterpret_cast<const unsigned char*>(data.data()) + i * block, block, chains);
        for (std::size_t j = 0; j < together; ++j) crcs[i + j] = ~chains[j];
        poll.did(block / 2);
    }
    for (; i < crcs.size(); ++i) {
        const auto rest = data.subspan(i * block);
        crcs[i] = crc32c(rest.first(std::min(block, rest.size())), seed_of(tag, first + i));
    }
}

}  // namespace trouvaille

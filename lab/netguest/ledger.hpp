#pragma once
/// \file  What the database guest writes, as arithmetic: each transaction follows from its number and from the chain, a
///        hash over all before it. tests/system/ledger.py says the same to whoever checks.

#include <array>
#include <cstdint>

namespace ledger {

constexpr uint64_t kAccounts = 1000, kNotes = 512, kFirstChain = 0x5e60;
constexpr int64_t kFirstBalance = 1'000'000;

inline uint64_t mix(uint64_t x) {  // The finalizer of splitmix64.
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

struct Entry {
  uint64_t seed;
  int64_t source, target, amount, note;
  uint64_t chain;
};

inline Entry entry(int64_t id, uint64_t chain_before) {
  const uint64_t seed = mix(chain_before + uint64_t(id));
  return {seed,
          int64_t(seed % kAccounts),
          int64_t((seed >> 16) % kAccounts),
          int64_t((seed >> 32) % 1000),
          int64_t((seed >> 48) % kNotes),
          mix(seed)};
}

// 2 KiB that are written into one note.
inline std::array<uint64_t, 256> body(uint64_t seed) {
  std::array<uint64_t, 256> words;
  for (uint64_t i = 0; i < words.size(); ++i) words[i] = mix(seed + i);
  return words;
}

}  // namespace ledger

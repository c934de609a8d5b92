#include "core/rng.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(Rng, MatchesKnownVectors) {
  EXPECT_EQ(hash_text(""), 0xcbf29ce484222325ULL);  // FNV-1a's published offset and test vector
  EXPECT_EQ(hash_text("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(mix_bits(0), 0u);
  EXPECT_EQ(mix_bits(0x9e3779b97f4a7c15ULL), 0xe220a8397b1dcdafULL);  // SplitMix64's first output for seed 0
}

TEST(Rng, StreamsDependOnSeedPurposeAndIndexAlone) {
  RngStream a(1, "data", 0), b(1, "data", 0);
  const uint64_t first = a.next();
  RngStream other(2, "data", 0), purpose(1, "init", 0), index(1, "data", 1);
  EXPECT_EQ(b.next(), first);  // whatever was drawn from other streams in between
  EXPECT_NE(other.next(), first);
  EXPECT_NE(purpose.next(), first);
  EXPECT_NE(index.next(), first);
  EXPECT_NE(RngStream(1, "a", 0x62).next(), RngStream(1, "ab", 0).next());
}

TEST(Rng, BelowCoversItsRangeEvenly) {
  RngStream rng(3, "below");
  EXPECT_EQ(rng.below(1), 0u);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts.at(rng.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 5 * 93);  // five standard deviations of a binomial
  for (int i = 0; i < 1000; ++i) EXPECT_LT(rng.below(UINT64_MAX), UINT64_MAX);
}

TEST(Rng, UniformAndNormalHaveTheirMoments) {
  RngStream rng(4, "moments");
  constexpr int kDraws = 100000;
  double sum = 0, lowest = 1, highest = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform(), n = rng.normal();
    sum += u;
    lowest = std::min(lowest, u);
    highest = std::max(highest, u);
    normal_sum += n;
    normal_squares += n * n;
  }
  EXPECT_GE(lowest, 0.0);
  EXPECT_LT(highest, 1.0);
  // five standard errors: 0.29, 1 and sqrt(2) over sqrt(100,000)
  EXPECT_NEAR(sum / kDraws, 0.5, 0.0046);
  EXPECT_NEAR(normal_sum / kDraws, 0.0, 0.016);
  EXPECT_NEAR(normal_squares / kDraws, 1.0, 0.023);
}

TEST(PermutedIndex, IsABijectionForEverySize) {
  std::vector<uint64_t> sizes;
  for (uint64_t size = 1; size <= 70; ++size) sizes.push_back(size);
  for (const uint64_t size : {127u, 128u, 129u, 255u, 256u, 257u, 1000u, 1023u, 1024u, 1025u, 4097u, 65536u, 65537u})
    sizes.push_back(size);
  for (const uint64_t size : sizes)
    for (uint64_t key = 0; key < 3; ++key) {
      std::vector<bool> seen(size);
      for (uint64_t i = 0; i < size; ++i) {
        const uint64_t value = permuted_index(i, size, key);
        ASSERT_LT(value, size);
        ASSERT_FALSE(seen[value]) << "size " << size << ", key " << key << ", index " << i;
        seen[value] = true;
      }
    }
}

TEST(PermutedIndex, DiffersBetweenKeysAndMixesNeighbours) {
  int same = 0, ascending = 0;
  for (uint64_t i = 0; i + 1 < 1000; ++i) {
    same += permuted_index(i, 1000, 1) == permuted_index(i, 1000, 2) ? 1 : 0;
    ascending += permuted_index(i, 1000, 1) < permuted_index(i + 1, 1000, 1) ? 1 : 0;
  }
  EXPECT_LT(same, 10);                   // 1 expected
  EXPECT_NEAR(ascending, 500, 5 * 9.2);  // of a random permutation: variance n / 12
  std::set<uint64_t> firsts;
  for (uint64_t key = 0; key < 20; ++key) firsts.insert(permuted_index(0, 2, key));
  EXPECT_EQ(firsts.size(), 2u);  // both orders of two
}

TEST(PermutedIndex, WalksLargeSizes) {
  const uint64_t size = (uint64_t{1} << 40) + 12345;
  for (const uint64_t index : {uint64_t{0}, uint64_t{1}, size / 2, size - 1})
    EXPECT_LT(permuted_index(index, size, 9), size);
}

}  // namespace
}  // namespace evenkeel

#include "analysis/id_stats.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "golden/golden.h"
#include "support/observations.h"

namespace evenkeel::analysis {
namespace {

using Counts = std::vector<int64_t>;

TEST(IdStats, ShareOfTheFavouriteByHand) {
  EXPECT_DOUBLE_EQ(max_share(Counts{3, 5, 2}, 10), 0.5);
  EXPECT_DOUBLE_EQ(max_share(Counts{4, 4, 2}, 5), 0.8);  // k = 2: ten assignments of five tokens
  EXPECT_EQ(favourite(Counts{3, 5, 5}), 1);              // equals go to the lower expert
  EXPECT_EQ(favourite(Counts{0, 0}), -1);
}

TEST(IdStats, StandardDeviationByHand) {
  EXPECT_DOUBLE_EQ(share_std(Counts{5, 5, 5, 5}), 0.0);
  EXPECT_DOUBLE_EQ(share_std(Counts{8, 0, 0, 0}), std::sqrt((0.5625 + 3 * 0.0625) / 4));
  EXPECT_DOUBLE_EQ(share_std(Counts{0, 0, 0}), 0.0);
  // "Always the same 2 experts" of 32: OpenMoE's ceiling of 0.121 (papers: figures 13 and 14).
  Counts same(32, 0);
  same[3] = same[9] = 700;
  EXPECT_NEAR(share_std(same), 0.121, 5e-4);
  EXPECT_DOUBLE_EQ(share_std(same), uniform_share_std(1, 32, 2));  // one token always looks like this
}

TEST(IdStats, OverlapAndCosineByHand) {
  EXPECT_DOUBLE_EQ(share_overlap(Counts{1, 1, 0}, Counts{2, 2, 0}), 1.0);
  EXPECT_DOUBLE_EQ(share_overlap(Counts{1, 0, 0}, Counts{0, 1, 5}), 0.0);
  EXPECT_DOUBLE_EQ(share_overlap(Counts{3, 1, 0}, Counts{1, 1, 2}), 0.5);  // min(.75,.25) + min(.25,.25)
  EXPECT_TRUE(std::isnan(share_overlap(Counts{0, 0}, Counts{1, 0})));
  EXPECT_DOUBLE_EQ(share_cosine(Counts{3, 4}, Counts{6, 8}), 1.0);
  EXPECT_DOUBLE_EQ(share_cosine(Counts{1, 0}, Counts{0, 7}), 0.0);
  EXPECT_DOUBLE_EQ(share_cosine(Counts{3, 4}, Counts{1, 0}), 0.6);
  EXPECT_TRUE(std::isnan(share_cosine(Counts{0, 0}, Counts{1, 0})));
}

TEST(IdStats, ChanceOfRepeatIsTheOneOfThePaper) {
  EXPECT_NEAR(chance_of_repeat(8, 2, 2), 0.464, 5e-4);  // arXiv 2401.04088, table 5
  EXPECT_DOUBLE_EQ(chance_of_repeat(8, 1, 1), 0.125);
  EXPECT_DOUBLE_EQ(chance_of_repeat(4, 3, 2), 1.0);  // no room to avoid each other
  EXPECT_DOUBLE_EQ(chance_of_repeat(5, 0, 3), 0.0);
  EXPECT_NEAR(chance_of_repeat(64, 8, 8),
              1 - 56. * 55 * 54 * 53 * 52 * 51 * 50 * 49 / (64. * 63 * 62 * 61 * 60 * 59 * 58 * 57), 1e-15);
  EXPECT_DOUBLE_EQ(chance_of_repeat(9, 4, 2), chance_of_repeat(9, 2, 4));
}

TEST(IdStats, LargestCellOfAMultinomialByHand) {
  const auto two = exact_mean_max_share(2, 3);  // n = 2: 1 or 1/2 with half each; n = 3: 1 with 1/4, else 2/3
  EXPECT_NEAR(two[0], 1.0, 1e-15);
  EXPECT_NEAR(two[1], 0.75, 1e-15);
  EXPECT_NEAR(two[2], 0.75, 1e-15);
  EXPECT_NEAR(exact_mean_max_share(64, 2)[1], 0.5 + 0.5 / 64, 1e-14);
}

// Means and the standard error of the mean of both figures by a plain simulation with another seed.
struct Simulated {
  double share = 0, share_error = 0, std = 0, std_error = 0, square = 0;
};
Simulated simulate(int64_t n_experts, int64_t top_k, int64_t n, int64_t replicas) {
  RngStream rng(77, "id stats test", static_cast<uint64_t>(n * 1000 + n_experts));
  Simulated out;
  double share_square = 0;
  for (int64_t replica = 0; replica < replicas; ++replica) {
    Counts counts(static_cast<size_t>(n_experts), 0);
    for (int64_t t = 0; t < n; ++t) {
      std::vector<size_t> experts(static_cast<size_t>(n_experts));
      std::iota(experts.begin(), experts.end(), size_t{0});
      for (size_t i = 0; i < static_cast<size_t>(top_k); ++i) {
        std::swap(experts[i], experts[i + rng.below(experts.size() - i)]);
        ++counts[experts[i]];
      }
    }
    const double share = max_share(counts, n), std = share_std(counts);
    out.share += share;
    share_square += share * share;
    out.std += std;
    out.square += std * std;
  }
  const auto count = static_cast<double>(replicas);
  out.share /= count;
  out.std /= count;
  out.square /= count;
  out.share_error = std::sqrt(std::max(share_square / count - out.share * out.share, 0.0) / count);
  out.std_error = std::sqrt(std::max(out.square - out.std * out.std, 0.0) / count);
  return out;
}

struct Case {
  int64_t n_experts, top_k, n;
};
TEST(IdStats, LevelsOfUniformRoutingAreThoseOfAPlainSimulation) {
  // Exact, simulated, at the joints and in the normal limit; E = 2 is the furthest from normal.
  for (const auto& [E, k, n] : {Case{8, 1, 1}, Case{8, 1, 7}, Case{8, 1, 64}, Case{8, 1, 65}, Case{8, 1, 513},
                                Case{2, 1, 129}, Case{2, 1, 20}, Case{8, 2, 3}, Case{8, 6, 5}, Case{16, 4, 40},
                                Case{16, 4, 257}, Case{64, 8, 2}, Case{64, 8, 100}, Case{64, 8, 600}}) {
    const UniformRouting uniform(E, k, 1000);
    const auto simulated = simulate(E, k, n, n > 200 ? 1500 : 8000);
    // Four standard errors of this simulation, and 1 %: that of the level itself, as its comment promises.
    EXPECT_NEAR(uniform.mean_max_share(n), simulated.share, 4 * simulated.share_error + 0.01 * simulated.share)
        << E << ' ' << k << ' ' << n;
    EXPECT_NEAR(uniform.mean_share_std(n), simulated.std, 4 * simulated.std_error + 0.01 * simulated.std)
        << E << ' ' << k << ' ' << n;
    EXPECT_NEAR(uniform_share_std(n, E, k), std::sqrt(simulated.square), 0.03 * std::sqrt(simulated.square))
        << E << ' ' << k << ' ' << n;
    EXPECT_LE(uniform.mean_share_std(n),
              uniform_share_std(n, E, k) * (1 + 1e-9));  // a mean is below the root mean square
  }
}

TEST(IdStats, LevelsAtTheEdges) {
  const UniformRouting all(4, 4, 100);
  EXPECT_DOUBLE_EQ(all.mean_max_share(3), 1.0);
  EXPECT_DOUBLE_EQ(all.mean_share_std(3), 0.0);
  const UniformRouting one(1, 1, 10);
  EXPECT_DOUBLE_EQ(one.mean_max_share(10), 1.0);
  const UniformRouting uniform(64, 8, 100'000'000);
  EXPECT_DOUBLE_EQ(uniform.mean_max_share(1), 1.0);
  EXPECT_NEAR(uniform.mean_share_std(1), uniform_share_std(1, 64, 8), 1e-12);
  EXPECT_NEAR(uniform.mean_max_share(100'000'000), 0.125, 1e-4);
  for (int64_t n = 1; n < 3000; ++n)
    EXPECT_LT(uniform.mean_max_share(n + 1), uniform.mean_max_share(n) * 1.01) << n;  // no jump at a joint
}

TEST(IdStats, DistanceOfLoads) {
  EXPECT_EQ(share_distance(Counts{1, 5, 1, 3}, Counts{1, 5, 1, 3}), 0.0);
  EXPECT_EQ(share_distance(Counts{7, 11, 31, 3, 1}, Counts{7, 11, 31, 3, 1}), 0.0);  // to the last bit
  EXPECT_DOUBLE_EQ(share_distance(Counts{3, 1, 0}, Counts{1, 1, 2}), 0.5);
  EXPECT_TRUE(std::isnan(share_distance(Counts{0, 0}, Counts{1, 0})));
}

TEST(IdStats, DifferenceOfRandomSharesByHand) {
  // One token each: 1 with probability 2 p (1 - p). Two and one, p = 1/2: |0, 1/2, 1 - 0, 1| by 1/4 1/2 1/4: 1/2.
  EXPECT_DOUBLE_EQ(mean_share_difference(1, 1, 0.25), 2 * 0.25 * 0.75);
  EXPECT_DOUBLE_EQ(mean_share_difference(2, 1, 0.5), 0.5);
  EXPECT_EQ(mean_share_difference(5, 7, 1.0), 0.0);
  EXPECT_EQ(mean_share_difference(5, 7, 0.0), 0.0);
  // Near the normal limit before the joint, and it beyond.
  for (const int64_t n : {40'000, 50'000, 1'000'000})
    EXPECT_NEAR(
        mean_share_difference(n, 2 * n, 0.3) / std::sqrt(2 / 3.14159265358979 * 0.21 * 1.5 / static_cast<double>(n)),
        1.0, 3e-4)
        << n;
}

TEST(IdStats, EntropyOfUniformRoutingByHand) {
  EXPECT_NEAR(uniform_entropy(1, 8, 4), 2.0 / 3, 1e-14);      // ln 4 / ln 8
  EXPECT_NEAR(uniform_entropy(2, 8, 1), 7.0 / 8 / 3, 1e-14);  // ln 2 with probability 7/8
  EXPECT_NEAR(uniform_entropy(2, 3, 2), 1.0 / 3 * std::log(2) / std::log(3) + 2.0 / 3 * 1.5 * std::log(2) / std::log(3),
              1e-14);  // 1/2 1/2, or 1/4 1/2 1/4
  EXPECT_EQ(uniform_entropy(5, 4, 4), 1.0);
  EXPECT_EQ(uniform_entropy(5, 1, 1), 1.0);
  // Either side of the joint: exact and expanded, what is missing from 1 to 1e-6 of it.
  for (const int64_t k : {1, 3}) {
    const double p = static_cast<double>(k) / 8;
    const auto joint = static_cast<int64_t>(1e4 / (p * (1 - p)));
    EXPECT_NEAR((1 - uniform_entropy(joint - 1, 8, k)) * static_cast<double>(joint - 1) /
                    ((1 - uniform_entropy(joint + 1, 8, k)) * static_cast<double>(joint + 1)),
                1.0, 1e-6)
        << k;
  }
}

TEST(IdStats, EntropyOfUniformRoutingMatchesASimulation) {
  for (const auto& [E, k, n] : {Case{8, 1, 20}, Case{8, 3, 50}, Case{64, 8, 100}}) {
    double sum = 0, square = 0;
    constexpr int kRepeats = 2000;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      Counts counts(static_cast<size_t>(E), 0);
      for (const auto& experts : testing::uniform_experts(n, E, k, static_cast<uint64_t>(repeat)))
        for (const int64_t expert : experts) ++counts[static_cast<size_t>(expert)];
      double entropy = 0;
      for (const int64_t count : counts) {
        const double share = static_cast<double>(count) / static_cast<double>(n * k);
        if (count > 0) entropy -= share * std::log(share) / std::log(static_cast<double>(E));
      }
      sum += entropy / kRepeats;
      square += entropy * entropy / kRepeats;
    }
    EXPECT_NEAR(uniform_entropy(n, E, k), sum, 4 * std::sqrt((square - sum * sum) / kRepeats))
        << E << ' ' << k << ' ' << n;  // four standard errors
  }
}

TEST(IdStats, OverlapOfUniformIdsByHand) {
  EXPECT_NEAR(uniform_share_overlap(1, 1, 64, 8), 0.125, 1e-14);  // the experts that two random sets of 8 share
  EXPECT_NEAR(uniform_share_overlap(1, 900, 64, 8), 0.125, 1e-12);
  // Heads of two fair coins each: 0, 1/2, 1 with 1/4, 1/2, 1/4. The smaller share is at least 1/2 with 9/16 and 1 with
  // 1/16.
  EXPECT_NEAR(uniform_share_overlap(2, 2, 2, 1), 2 * (9.0 / 16 + 1.0 / 16) / 2, 1e-14);
  EXPECT_DOUBLE_EQ(uniform_share_overlap(3, 5, 4, 4), 1.0);
  EXPECT_NEAR(uniform_share_overlap(7, 300, 8, 3), uniform_share_overlap(300, 7, 8, 3),
              1e-13);  // summed in another order
  EXPECT_NEAR(uniform_share_overlap(INT64_MAX / 64, INT64_MAX / 64, 64, 8), 1.0, 1e-6);
  EXPECT_NEAR(uniform_share_overlap(50, INT64_MAX / 64, 64, 8), uniform_share_overlap(50, 100'000'000, 64, 8), 1e-4);
  // No jump where the normal limit begins: 91,428 tokens have a variance of 10,000.
  EXPECT_NEAR((1 - uniform_share_overlap(91'428, 91'428, 8, 1)) / (1 - uniform_share_overlap(91'429, 91'429, 8, 1)),
              1.0, 2e-4);
}

TEST(IdStats, OverlapOfUniformIdsIsTheExactOne) {
  const auto golden = testing::read_golden("analyses.json");
  for (const auto& need : golden.outputs.at("uniform_overlap").as_array()) {
    const double got = uniform_share_overlap(need.at("n_a").as_int(), need.at("n_b").as_int(),
                                             need.at("n_experts").as_int(), need.at("top_k").as_int());
    testing::expect_close(got, need.at("overlap").as_double(), golden.rtol, golden.atol, need.dump());
  }
}

// Means of both likenesses of pairs of ids under uniform routing, and their standard errors, by a plain simulation.
struct PairLevels {
  double overlap = 0, overlap_error = 0, cosine = 0, cosine_error = 0;
};
PairLevels simulate_pairs(int64_t n_experts, int64_t top_k, int64_t n_a, int64_t n_b) {
  constexpr int64_t kPairs = 3000;
  RngStream rng(78, "id stats test", static_cast<uint64_t>(n_a * 1000 + n_b * 7 + n_experts));
  std::vector<size_t> experts(static_cast<size_t>(n_experts));
  std::iota(experts.begin(), experts.end(), size_t{0});
  const auto draw = [&](int64_t n) {
    Counts counts(experts.size(), 0);
    for (int64_t t = 0; t < n; ++t)
      for (size_t i = 0; i < static_cast<size_t>(top_k); ++i) {
        std::swap(experts[i], experts[i + rng.below(experts.size() - i)]);
        ++counts[experts[i]];
      }
    return counts;
  };
  PairLevels out;
  for (int64_t pair = 0; pair < kPairs; ++pair) {
    const auto a = draw(n_a), b = draw(n_b);
    const double overlap = share_overlap(a, b), cosine = share_cosine(a, b);
    out.overlap += overlap / kPairs;
    out.overlap_error += overlap * overlap / kPairs;
    out.cosine += cosine / kPairs;
    out.cosine_error += cosine * cosine / kPairs;
  }
  out.overlap_error = std::sqrt(std::max(out.overlap_error - out.overlap * out.overlap, 0.0) / kPairs);
  out.cosine_error = std::sqrt(std::max(out.cosine_error - out.cosine * out.cosine, 0.0) / kPairs);
  return out;
}

TEST(IdStats, LikenessOfUniformIdsIsTheSimulatedOne) {
  struct Pair {
    int64_t n_experts, top_k, n_a, n_b;
  };
  for (const auto& [E, k, n_a, n_b] : {Pair{64, 1, 10, 10}, Pair{64, 1, 30, 30}, Pair{31, 3, 4, 4}, Pair{8, 1, 3, 3},
                                       Pair{8, 1, 1, 1}, Pair{8, 6, 5, 2}, Pair{8, 3, 2, 600}, Pair{2, 1, 50, 50},
                                       Pair{2, 1, 200, 130}, Pair{32, 2, 400, 400}, Pair{64, 8, 100, 7}}) {
    const UniformRouting uniform(E, k, 1000);
    const auto simulated = simulate_pairs(E, k, n_a, n_b);
    const auto what =
        std::to_string(E) + " " + std::to_string(k) + " " + std::to_string(n_a) + " " + std::to_string(n_b);
    EXPECT_NEAR(uniform_share_overlap(n_a, n_b, E, k), simulated.overlap, 4 * simulated.overlap_error + 1e-12)
        << what;  // exact
    // Four standard errors of this simulation, and 1 %: that of the level itself, as its comment promises.
    EXPECT_NEAR(uniform.mean_cosine(n_a, n_b), simulated.cosine, 4 * simulated.cosine_error + 0.01 * simulated.cosine)
        << what;
  }
}

TEST(IdStats, CosineOfUniformIdsAtTheEdges) {
  const UniformRouting uniform(64, 8, 1000), all(4, 4, 10);
  EXPECT_NEAR(uniform.mean_cosine(1, 1), 0.125, 1e-12);  // 8 of 64 are the same on average
  EXPECT_NEAR(uniform.mean_cosine(1'000'000'000, 1'000'000'000), 1.0, 1e-8);
  EXPECT_DOUBLE_EQ(all.mean_cosine(3, 9), 1.0);
  for (int64_t n = 1; n < 1000; ++n)
    EXPECT_GT(uniform.mean_cosine(n + 1, n + 1), uniform.mean_cosine(n, n) * 0.995) << n;  // no jump at a joint
}

TEST(IdSummary, MeansOverIdsAndOverOccurrencesDiffer) {
  const UniformRouting uniform(2, 1, 10);
  IdSummary summary(&uniform);
  summary.add(Counts{1, 0}, 1);  // a singleton scores 1
  summary.add(Counts{6, 4}, 10);
  EXPECT_EQ(summary.ids(), 2);
  EXPECT_EQ(summary.occurrences(), 11);
  EXPECT_DOUBLE_EQ(summary.mean_max_share(), 0.8);
  EXPECT_DOUBLE_EQ(summary.max_share_by_occurrence(), 7.0 / 11);
  EXPECT_DOUBLE_EQ(summary.chance_max_share(), (1 + uniform.mean_max_share(10)) / 2);
  EXPECT_DOUBLE_EQ(summary.mean_std(), (0.5 + 0.1) / 2);
  EXPECT_DOUBLE_EQ(summary.baseline_std(), (0.5 + 0.5 / std::sqrt(10.0)) / 2);
  IdSummary unknown(nullptr);
  EXPECT_TRUE(std::isnan(unknown.mean_std()));
  unknown.add(Counts{1, 0}, 1);
  EXPECT_DOUBLE_EQ(unknown.mean_max_share(), 1.0);
  EXPECT_TRUE(std::isnan(unknown.chance_max_share()) && std::isnan(unknown.baseline_std()) &&
              std::isnan(unknown.chance_std()));
}

}  // namespace
}  // namespace evenkeel::analysis

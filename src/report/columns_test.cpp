#include "report/columns.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenkeel::report {
namespace {

std::string packed(const std::vector<Json>& values, const std::vector<int64_t>& divisors = {}) {
  return ColumnPool().put(values, divisors).dump();
}

TEST(ColumnPool, TakesTheShortestFormThatGivesTheBitsBack) {
  EXPECT_EQ(packed({3, 3, 3}), R"({"same":3,"n":3})");
  EXPECT_EQ(packed({Json(), Json()}), R"({"same":null,"n":2})");
  EXPECT_EQ(packed({32, 64, 96}), R"({"from":32,"by":32,"n":3})");
  EXPECT_EQ(packed({1, 2, 4}), "[1,2,4]");
  EXPECT_EQ(packed({0.25, 2.0 / 3}, {3, 12}), R"({"per":12,"counts":[3,8]})");  // of 3 the first is no share
  EXPECT_EQ(packed({static_cast<double>(8.347063f), static_cast<double>(0.1f)}), R"({"single":[8.347063,0.1]})");
  EXPECT_EQ(packed({0.1, 0.2}), "[0.1,0.2]");
  EXPECT_EQ(packed({0.5, Json()}), "[0.5,null]");
  EXPECT_EQ(packed({0.5}), "[0.5]");
  EXPECT_EQ(packed({}), "[]");
}

TEST(ColumnPool, AFormThatMissesOneBitIsNotTaken) {
  const double near = std::nextafter(0.25, 1.0);
  EXPECT_EQ(packed({near, 0.5}, {4}), Json(std::vector<Json>{near, 0.5}).dump());
  EXPECT_EQ(packed({1e300, 0.5}, {4}), "[1e+300,0.5]");  // beyond single precision and whole counts
}

TEST(ColumnPool, EachDistinctColumnIsStoredOnce) {
  ColumnPool columns;
  std::vector<Json> long_one, other;
  for (int i = 0; i < 100; ++i) long_one.emplace_back(0.1 * i * i), other.emplace_back(0.2 * i * i);
  EXPECT_EQ(columns.put(long_one).dump(), R"({"at":0})");
  EXPECT_EQ(columns.put(other).dump(), R"({"at":1})");
  EXPECT_EQ(columns.put(long_one).dump(), R"({"at":0})");
  EXPECT_EQ(columns.pool().size(), 2u);
  EXPECT_EQ(columns.share(Json(std::vector<Json>{1})).dump(), "[1]");  // too short to share
  EXPECT_EQ(columns.share(columns.pool().at(1)).dump(), R"({"at":1})");
}

}  // namespace
}  // namespace evenkeel::report

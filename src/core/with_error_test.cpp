#include "core/with_error.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

// The examples of the rule: 0.827 ± 0.119 is 0.83 ± 0.12, and 0.827 ± 0.367 is 0.8 ± 0.4.
TEST(WithError, FollowsTheRuleOfTheParticleDataGroup) {
  EXPECT_EQ(with_error(0.827, 0.119), "0.83 ± 0.12");
  EXPECT_EQ(with_error(0.827, 0.367), "0.8 ± 0.4");
  EXPECT_EQ(with_error(14.674, 0.964), "14.7 ± 1.0");
  EXPECT_EQ(with_error(3.14159, 0.0354), "3.142 ± 0.035");
  EXPECT_EQ(with_error(3.14159, 0.0355), "3.14 ± 0.04");
  EXPECT_EQ(with_error(3.14159, 0.00949), "3.142 ± 0.009");
  EXPECT_EQ(with_error(3.14159, 0.0096), "3.142 ± 0.010");
}

TEST(WithError, ErrorsAboveOneRoundToTens) {
  EXPECT_EQ(with_error(4113, 126), "4110 ± 130");
  EXPECT_EQ(with_error(4113, 97), "4110 ± 100");
  EXPECT_EQ(with_error(4113, 41), "4110 ± 40");
  EXPECT_EQ(with_error(4113, 7.2), "4113 ± 7");
}

TEST(WithError, ShowsTheSignOfAChange) {
  EXPECT_EQ(with_error(0.402, 0.011, true), "+0.402 ± 0.011");
  EXPECT_EQ(with_error(-0.402, 0.011, true), "−0.402 ± 0.011");
  EXPECT_EQ(with_error(-0.0001, 0.02, true), "0.000 ± 0.020");
}

TEST(WithError, WithoutAnErrorThreeDigits) {
  EXPECT_EQ(with_error(3.14159, std::nullopt), "3.14");
  EXPECT_EQ(with_error(0.0123456, 0.0), "0.0123");
  EXPECT_EQ(with_error(2.7977, 4.4e-16), "2.80");
  EXPECT_EQ(with_error(9.999, std::nullopt), "10.0");
  EXPECT_EQ(with_error(12345, std::nullopt), "12300");
  EXPECT_EQ(with_error(0, std::nullopt), "0");
}

TEST(DifferenceText, NamesNoneWhereTheIntervalHoldsZero) {
  EXPECT_EQ(difference_text(-0.3123, 0.0411), "−0.31; 95 %: −0.35 to −0.27");
  EXPECT_EQ(difference_text(-0.0123, 0.0411), "no difference beyond noise: −0.01; 95 %: −0.05 to +0.03");
  EXPECT_EQ(difference_text(0.0411, 0.0411), "no difference beyond noise: +0.04; 95 %: 0.00 to +0.08");
  EXPECT_EQ(difference_text(0, 0.0), "no difference beyond noise: 0.00; 95 %: 0.00 to 0.00");
  EXPECT_EQ(difference_text(0.5, 0.0), "+0.500; 95 %: +0.500 to +0.500");
  EXPECT_EQ(difference_text(0.3123, std::nullopt), "+0.312; its error is not known");
}

// Two shares in percent differ by no more than 100.
TEST(DifferenceText, EndsWhereTheFigureEnds) {
  EXPECT_EQ(difference_text(27, 135, 100), "no difference beyond noise: +30; 95 %: −100 to +100");
  EXPECT_EQ(difference_text(-20, 135, 100), "no difference beyond noise: −20; 95 %: −100 to +100");
  EXPECT_EQ(difference_text(27, 41, 100), "no difference beyond noise: +30; 95 %: −10 to +70");
  EXPECT_EQ(difference_text(-8, 135, 16), "no difference beyond noise: −10; 95 %: −16 to +16");  // of 16 experts
}

TEST(WithError, WithoutAnErrorAtMostThreeDigits) {
  EXPECT_EQ(three_digits(0.003), "0.003");
  EXPECT_EQ(three_digits(0.00165000234), "0.00165");
  EXPECT_EQ(three_digits(118.43), "118");
  EXPECT_EQ(three_digits(1.2345e15), "1.23e+15");
  EXPECT_EQ(three_digits(0), "0");
}

}  // namespace
}  // namespace evenkeel

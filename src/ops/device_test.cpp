#include "ops/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel::ops {
namespace {

TEST(FindDevice, KnowsTheCpu) {
  EXPECT_TRUE(find_device("cpu").is_cpu());
  EXPECT_EQ(device_name(find_device("cpu")), "cpu");
}

TEST(FindDevice, RefusesOtherWords) {
  for (const std::string name : {"gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1234", "cuda0", " cpu"})
    EXPECT_EQ(testing::message_of<ConfigError>([&] { find_device(name); }),
              "--device: got '" + name + "'; need cpu, cuda or cuda:N");
}

TEST(FindDevice, NamesADeviceThatIsNotThere) {
  EXPECT_THAT(testing::message_of<ConfigError>([] { find_device("cuda:99"); }),
              ::testing::StartsWith("--device: got 'cuda:99'"));
}

TEST(FindDevice, TheDefaultIsTheGpuWhereThereIsOne) {
  try {
    const auto gpu = find_device("cuda");
    EXPECT_EQ(find_device(""), gpu);
    EXPECT_EQ(device_name(gpu), "cuda:0");
  } catch (const ConfigError&) {
    EXPECT_TRUE(find_device("").is_cpu());
  }
}

TEST(Threads, AreSetAndZeroMeansAllCores) {
  const int64_t before = n_threads();
  set_threads(1);
  EXPECT_EQ(n_threads(), 1);
  set_threads(0);
  EXPECT_GE(n_threads(), 1);
  set_threads(before);
}

TEST(GemmRate, IsTheBestOfTheSizes) {
  const auto cpu = find_device("cpu");
  synchronize(cpu);
  EXPECT_EQ(gemm_rate(cpu, {}), 0.0);
  const double rate = gemm_rate(cpu, {64, 256});
  EXPECT_GT(rate, 1e8);  // a core does more than that
  EXPECT_LT(rate, 1e15);
}

}  // namespace
}  // namespace evenkeel::ops

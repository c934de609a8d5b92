#include "train/machine.h"

#include <gtest/gtest.h>

#include "ops/device.h"
#include "train/memory_limit.h"

namespace evenkeel::train {
namespace {

TEST(CpuName, IsTheFirstModelName) {
  EXPECT_EQ(cpu_name("processor\t: 0\nvendor_id\t: X\nmodel name\t: A CPU @ 2.1GHz\nmodel name\t: another\n"),
            "A CPU @ 2.1GHz");
  EXPECT_EQ(cpu_name("processor\t: 0\n"), "");
  EXPECT_EQ(cpu_name("model name\t:\n"), "");
  EXPECT_EQ(cpu_name("model name"), "");
  EXPECT_EQ(cpu_name(""), "");
}

TEST(MachineJson, SaysWhatTheFiguresWereComputedOn) {
  const Json machine = machine_json(ops::find_device("cpu"));
  EXPECT_EQ(machine.at("device").as_string(), "cpu");
  EXPECT_EQ(machine.at("threads").as_int(), ops::n_threads());
  EXPECT_GE(machine.at("cores").as_int(), 1);
  EXPECT_EQ(static_cast<double>(machine.at("memory_bytes").as_int()), machine_memory_bytes());
  EXPECT_NE(machine.at("isa").as_string(), "");
  EXPECT_EQ(machine.at("torch").as_string().substr(0, 2), "2.");
  EXPECT_NE(machine.at("evenkeel").as_string(), "");
}

}  // namespace
}  // namespace evenkeel::train

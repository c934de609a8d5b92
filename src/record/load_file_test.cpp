#include "record/load_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/rng.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::record {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

// Layers of experts with random counts, as a step has them.
std::vector<LayerRouting> random_routing(int64_t n_layers, int64_t n_experts, uint64_t seed) {
  RngStream rng(seed, "loads");
  std::vector<LayerRouting> out;
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    std::vector<int64_t> counts;
    int64_t total = 0;
    for (int64_t expert = 0; expert < n_experts; ++expert)
      total +=
          counts.emplace_back(expert == 3 ? 0 : static_cast<int64_t>(100 + rng.below(60) + (expert == 5 ? 70000 : 0)));
    LayerRouting row;
    row.layer = layer;
    row.n_assignments = total;
    for (const int64_t n : counts) row.load.push_back(static_cast<double>(n) / static_cast<double>(total));
    out.push_back(std::move(row));
  }
  return out;
}

std::vector<LayerRouting> without_loads(std::vector<LayerRouting> routing) {
  for (auto& layer : routing) layer.load.clear();
  return routing;
}

void expect_same_loads(const std::vector<LayerRouting>& a, const std::vector<LayerRouting>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].load, b[i].load);
    EXPECT_EQ(a[i].n_assignments, b[i].n_assignments);
  }
}

TEST(LoadFile, GivesEveryLoadBackToTheBit) {
  const TemporaryFolder folder;
  const auto step = random_routing(3, 20, 1), held = random_routing(3, 20, 2);
  LoadWriter writer(folder / "load.columns", 0);
  writer.append(1, "", step);
  writer.append(1, "held, größer", held);
  writer.append(2, "", held);
  writer.sync();
  LoadReader reader(folder / "load.columns");
  auto routing = without_loads(step);
  ASSERT_TRUE(reader.next(1, ""));
  reader.read(routing);
  expect_same_loads(routing, step);
  ASSERT_TRUE(reader.next(1, "held, größer"));
  ASSERT_TRUE(reader.next(2, ""));
  reader.read(routing);
  expect_same_loads(routing, held);
  EXPECT_FALSE(reader.next(3, ""));
  writer.append(3, "", step);
  ASSERT_TRUE(reader.next(3, ""));
  reader.read(routing);
  expect_same_loads(routing, step);
}

TEST(LoadFile, TakesAboutOneByteAnExpert) {
  const TemporaryFolder folder;
  { LoadWriter(folder / "load.columns", 0).append(1, "", random_routing(58, 256, 1)); }
  EXPECT_LT(std::filesystem::file_size(folder / "load.columns"), 58 * 256 * 1.1);
}

TEST(LoadFile, IsCutAtARecord) {
  const TemporaryFolder folder;
  const auto path = folder / "load.columns";
  const auto routing = random_routing(2, 8, 1);
  int64_t kept = 0;
  {
    LoadWriter writer(path, 0);
    for (int64_t step = 1; step <= 3; ++step) writer.append(step, "", routing);
    LoadReader reader(path);
    reader.next(1, "");
    kept = reader.end_byte();
  }
  LoadWriter writer(path, kept);
  writer.append(2, "", routing);
  LoadReader reader(path);
  EXPECT_TRUE(reader.next(1, ""));
  EXPECT_TRUE(reader.next(2, ""));
  EXPECT_FALSE(reader.next(3, ""));
}

TEST(LoadFile, TellsATornRecordFromADamagedOne) {
  const TemporaryFolder folder;
  const auto path = folder / "load.columns";
  const auto routing = random_routing(2, 8, 1);
  { LoadWriter(path, 0).append(7, "held", routing); }
  const std::string whole = read_file(path);
  for (size_t n = 0; n < whole.size(); ++n) {
    write_file_atomically(path, whole.substr(0, n));
    EXPECT_FALSE(LoadReader(path).next(7, "held")) << n;
  }
  const auto message = [&](const std::string& bytes, int64_t step, const std::string& data, size_t n_layers) {
    write_file_atomically(path, bytes);
    return testing::message_of<DataError>([&] {
      LoadReader reader(path);
      auto out = without_loads(random_routing(static_cast<int64_t>(n_layers), 8, 1));
      if (reader.next(step, data)) reader.read(out);
    });
  };
  EXPECT_THAT(message(whole, 8, "held", 2),
              HasSubstr("load.columns: got another record at byte 0; need the loads of step 8 on 'held'"));
  EXPECT_THAT(message(whole, 7, "hold", 2), HasSubstr("got another record"));
  EXPECT_THAT(message(whole, 7, "", 2), HasSubstr("need the loads of step 7"));
  EXPECT_THAT(message(whole, 7, "held", 3),
              HasSubstr("step 7: got loads of 2 layers of 8 experts; need those of 3 layers"));
  std::string damaged = whole;
  damaged[whole.size() - 9] = static_cast<char>(damaged[whole.size() - 9] ^ 1);
  EXPECT_THAT(message(damaged, 7, "held", 2), HasSubstr("step 7: got a damaged record"));
  EXPECT_THAT(message("x" + whole, 7, "held", 2), HasSubstr("got another record at byte 0"));
  EXPECT_THROW(LoadReader(folder / "absent"), DataError);
}

TEST(LoadFile, SaysWhatItHolds) {
  const TemporaryFolder folder;
  const auto path = folder / "load.columns";
  LoadWriter writer(path, 0);
  writer.append(1, "", random_routing(3, 20, 1));
  writer.append(1, "de", random_routing(3, 20, 2));
  writer.append(1, "en", random_routing(3, 20, 2));
  writer.append(2, "", random_routing(3, 20, 3));
  writer.sync();
  const std::string bytes = read_file(path);
  auto contents = load_file_contents(path);
  EXPECT_EQ(contents.n_records, 4);
  EXPECT_EQ(contents.first_step, 1);
  EXPECT_EQ(contents.last_step, 2);
  EXPECT_EQ(contents.sets, (std::vector<std::string>{"de", "en"}));
  EXPECT_EQ(contents.n_layers, 3);
  EXPECT_EQ(contents.n_experts, 20);
  EXPECT_EQ(contents.record_bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(contents.torn_bytes, 0);
  contents = load_file_contents(folder.write("torn", bytes + bytes.substr(0, 40)));
  EXPECT_EQ(contents.n_records, 4);
  EXPECT_EQ(contents.torn_bytes, 40);
  const auto message = [&](const std::string& text) {
    return testing::message_of<DataError>([&] { load_file_contents(folder.write("bad", text)); });
  };
  EXPECT_THAT(message(bytes + std::string(32, 'x')),
              HasSubstr("bad: got the record at byte " + std::to_string(bytes.size()) + " without its mark"));
  EXPECT_THAT(message("EVKLOAD1"), HasSubstr("bad: got 8 bytes without one whole record"));
  LoadWriter(folder / "other", 0).append(3, "", random_routing(2, 20, 1));
  EXPECT_THAT(message(bytes + read_file(folder / "other")),
              HasSubstr("of step 3 with 2 layers of 20 experts; need steps in order"));
}

}  // namespace
}  // namespace evenkeel::record

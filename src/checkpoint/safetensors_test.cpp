#include "checkpoint/safetensors.h"

#include <array>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>

#include "core/errors.h"
#include "core/mappings.h"
#include "core/rng.h"

namespace evenkeel::checkpoint {
namespace {

namespace fs = std::filesystem;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("evenkeel_safetensors_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    path_ = folder_ / "model.safetensors";
  }
  void TearDown() override { fs::remove_all(folder_); }

  static void write_bytes(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  // A file with this header and `data_bytes` bytes of zeros.
  void write_header(const std::string& header, size_t data_bytes) const {
    write_bytes(path_, length_bytes(header.size()) + header + std::string(data_bytes, '\0'));
  }
  static std::string length_bytes(uint64_t length) {
    std::string out(8, '\0');
    std::memcpy(out.data(), &length, 8);
    return out;
  }
  // The error of opening path_, or "" when it opens and every tensor loads.
  std::string error_of_opening() const {
    try {
      const SafetensorsFile file(path_);
      for (const auto& entry : file.entries()) file.load(entry.name);
    } catch (const CheckpointError& error) {
      return error.what();
    }
    return "";
  }
  void expect_refused(const std::string& header, size_t data_bytes, const std::string& needle) const {
    write_header(header, data_bytes);
    const std::string message = error_of_opening();
    EXPECT_NE(message.find(needle), std::string::npos) << "header " << header << "\nmessage " << message;
    EXPECT_EQ(message.rfind(path_.string(), 0), 0u) << message;
    EXPECT_NE(message.find("; need "), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  NamedTensors sample() const {
    return {{"flag", at::arange(3).eq(1)},
            {"a", at::arange(6, at::kFloat).reshape({2, 3})},
            {"scalar", at::arange(1, at::kDouble).sum()},
            {"none", at::zeros({0, 4}, at::kLong)}};
  }

  fs::path folder_, path_;
};

TEST_F(Safetensors, WritesTheBytesOfTheFormat) {
  write_safetensors(path_, {{"w", at::arange(2, at::kInt)}}, {{"k", "v"}});
  const std::string header = R"({"__metadata__":{"k":"v"},"w":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}})";
  std::string padded = header;
  padded.resize((header.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(read_file(path_), length_bytes(padded.size()) + padded + std::string("\0\0\0\0\1\0\0\0", 8));
}

TEST_F(Safetensors, ReadsBackEveryDtypeBitForBit) {
  const at::ScalarType dtypes[] = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                   at::kInt,    at::kShort, at::kChar, at::kByte,     at::kBool};
  NamedTensors tensors;
  for (const auto dtype : dtypes)
    tensors.emplace_back(c10::toString(dtype), at::arange(-3, 6).to(dtype).reshape({3, 3}).t());  // not contiguous
  write_safetensors(path_, tensors, {{"format", "pt"}, {"note", "\"\n\xc3\xa9"}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.entries().size(), std::size(dtypes));
  EXPECT_EQ(file.metadata().at("note"), "\"\n\xc3\xa9");
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor loaded = file.load(name);
    EXPECT_EQ(loaded.scalar_type(), tensor.scalar_type());
    EXPECT_TRUE(at::equal(loaded, tensor)) << name;
  }
}

TEST_F(Safetensors, KeepsScalarsAndEmptyTensors) {
  write_safetensors(path_, sample(), {});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.load("scalar").dim(), 0);
  EXPECT_EQ(file.load("none").sizes().vec(), (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(file.metadata().empty());
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_THROW(file.load("absent"), CheckpointError);
}

TEST_F(Safetensors, WritesTheSameBytesTwiceAndAlignsEveryTensor) {
  write_safetensors(path_, sample(), {{"b", "1"}, {"a", "2"}});
  const std::string first = read_file(path_);
  write_safetensors(path_, sample(), {{"a", "2"}, {"b", "1"}});
  EXPECT_EQ(read_file(path_), first);
  const SafetensorsFile file(path_);
  for (const auto& entry : file.entries()) EXPECT_EQ(entry.begin % c10::elementSize(entry.dtype), 0u) << entry.name;
}

TEST_F(Safetensors, LoadedTensorsOutliveTheFile) {
  write_safetensors(path_, sample(), {});
  const at::Tensor loaded = SafetensorsFile(path_).load("a");
  fs::remove(path_);
  EXPECT_EQ(loaded[1][2].item<float>(), 5.0f);
}

TEST_F(Safetensors, LoadsRowsOfATensor) {
  const auto all = at::arange(24000, at::kInt).reshape({4000, 3, 2});  // more than a page
  write_safetensors(path_, {{"all", all}, {"flag", at::arange(5).eq(1)}, {"none", at::zeros({0, 4})}}, {});
  const SafetensorsFile file(path_);
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 4000}, {17, 1}, {1000, 2500}, {4000, 0}}) {
    const auto rows = file.load_rows("all", first, count);
    EXPECT_EQ(rows.scalar_type(), at::kInt);
    EXPECT_TRUE(at::equal(rows, all.narrow(0, first, count)));
  }
  EXPECT_TRUE(at::equal(file.load("all"), all));  // what was released is still there
  EXPECT_TRUE(at::equal(file.load_rows("flag", 1, 2), at::arange(5).eq(1).narrow(0, 1, 2)));
  EXPECT_EQ(file.load_rows("none", 0, 0).sizes().vec(), (std::vector<int64_t>{0, 4}));
  EXPECT_THROW(file.load_rows("absent", 0, 1), CheckpointError);
  EXPECT_THROW(file.load_rows("all", 3999, 2), std::logic_error);
}

TEST_F(Safetensors, ReadsRowsOfAnInnerDimension) {
  const at::Tensor all = at::arange(int64_t{3} * 5 * 7).view({3, 5, 7}).to(at::kInt);
  write_safetensors(path_, {{"before", at::zeros({2})}, {"all", all}, {"flat", at::zeros({4})}}, {});
  const SafetensorsFile file(path_);
  for (const auto& [index, first, count] : {std::array<int64_t, 3>{0, 0, 5}, {2, 4, 1}, {1, 1, 3}, {1, 5, 0}})
    EXPECT_TRUE(at::equal(file.load_inner_rows("all", index, first, count), all[index].narrow(0, first, count)));
  for (const auto& [index, first, count] : {std::array<int64_t, 3>{3, 0, 1}, {-1, 0, 1}, {0, 4, 2}, {0, -1, 1}})
    EXPECT_THROW(file.load_inner_rows("all", index, first, count), std::logic_error);
  EXPECT_THROW(file.load_inner_rows("flat", 0, 0, 1), std::logic_error);
}

TEST_F(Safetensors, ReadsWhatIsLongerThanABlock) {
  const at::Tensor all = at::arange(5'000'003).to(at::kInt);  // 20 MB: not a whole number of blocks
  write_safetensors(path_, {{"all", all}}, {});
  const SafetensorsFile file(path_);
  EXPECT_TRUE(at::equal(file.load("all"), all));
  EXPECT_TRUE(at::equal(file.load_rows("all", 3, 4'500'000), all.narrow(0, 3, 4'500'000)));
}

TEST_F(Safetensors, RefusesToWriteANameTwiceOrAnUnknownDtype) {
  const at::Tensor one = at::zeros({1});
  EXPECT_THROW(write_safetensors(path_, {{"w", one}, {"w", one}}, {}), std::logic_error);
  EXPECT_THROW(write_safetensors(path_, {{"w", at::zeros({1}, at::kComplexFloat)}}, {}), std::logic_error);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Safetensors, RefusesHeaderLengthsThatTheFileCannotHold) {
  for (const uint64_t length :
       {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{100'000'001}, ~uint64_t{0}, uint64_t{1} << 63}) {
    write_bytes(path_, length_bytes(length) + "{}");
    EXPECT_NE(error_of_opening().find("got header length " + std::to_string(length)), std::string::npos) << length;
  }
  write_bytes(path_, "1234567");
  EXPECT_NE(error_of_opening().find("got 7 bytes"), std::string::npos);
  EXPECT_THROW(SafetensorsFile(folder_ / "absent"), CheckpointError);
  EXPECT_THROW(SafetensorsFile file(folder_), CheckpointError);
}

TEST_F(Safetensors, RefusesAHeaderOfMoreThanAHundredMegabytes) {
  write_bytes(path_, length_bytes(100'000'008));
  fs::resize_file(path_, 100'000'100);  // sparse: takes no room on the disk
  EXPECT_NE(error_of_opening().find("need 2..100000000"), std::string::npos) << error_of_opening();
}

TEST_F(Safetensors, RefusesWhatIsNoHeader) {
  expect_refused("{]", 0, "not JSON at its byte");
  expect_refused("[]", 0, "got an array; need an object");
  expect_refused("12", 0, "got 12; need an object");
  expect_refused(R"({"w":3})", 0, "tensor 'w': got 3; need an object");
  expect_refused(R"({"__metadata__":{"k":1}})", 0, "metadata 'k': got 1; need a string");
  expect_refused(R"({"__metadata__":{"k":"1","k":"2"}})", 0, "twice");
  expect_refused(R"({"w":{"dtype":"F32","shape":[1]}})", 4, "key missing");
  expect_refused(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "got it twice");
  expect_refused(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"order":"C"}})", 4,
                 "'order': got an unknown key");
  expect_refused(R"({"w":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "'shape': got an array");
  expect_refused(std::string(500, '[') + std::string(500, ']'), 0, "got an array; need an object");
}

TEST_F(Safetensors, RefusesWrongDtypesAndShapes) {
  expect_refused(R"({"w":{"dtype":"F8","shape":[4],"data_offsets":[0,4]}})", 4, "got 'F8'; need one of F64");
  expect_refused(R"({"w":{"dtype":7,"shape":[4],"data_offsets":[0,4]}})", 4, "got 7; need one of F64");
  expect_refused(R"({"w":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4, "'shape': got -4");
  expect_refused(R"({"w":{"dtype":"U8","shape":[1.5],"data_offsets":[0,4]}})", 4, "'shape': got 1.5");
  expect_refused(R"({"w":{"dtype":"U8","shape":4,"data_offsets":[0,4]}})", 4, "'shape': got 4");
  expect_refused(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "got 4 bytes; need 8");
  expect_refused(R"({"w":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4, "below 2^63");
  expect_refused(R"({"w":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,4]}})", 4, "below 2^63");
  expect_refused(R"({"w":{"dtype":"U8","shape":[0,9223372036854775807,9],"data_offsets":[0,0]}})", 0, "below 2^63");
  expect_refused(R"({"w":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
                 "got 18446744073709551615");
  std::string dims = "1";
  for (int i = 0; i < 64; ++i) dims += ",1";
  expect_refused(R"({"w":{"dtype":"U8","shape":[)" + dims + R"(],"data_offsets":[0,1]}})", 1, "more than 64 numbers");
}

TEST_F(Safetensors, RefusesWrongOffsets) {
  const std::string w = R"({"w":{"dtype":"U8","shape":[4],"data_offsets":)";
  expect_refused(w + "[0,4]}}", 3, "got [0, 4]; need at most 3");
  expect_refused(w + "[0,4]}}", 5, "got 5 bytes of data; need 4");
  expect_refused(w + "[4,0]}}", 4, "begin <= end");
  expect_refused(w + "[0]}}", 4, "got [0]; need [begin, end]");
  expect_refused(w + "[1,5]}}", 5, "got data at byte 1; need 0");
  expect_refused(w + R"([0,4]},"v":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6, "got data at byte 2; need 4");
  expect_refused(w + R"([0,4]},"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4, "got data at byte 0; need 4");
  expect_refused(w + R"([0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8, "'w' twice");
}

TEST_F(Safetensors, RefusesABooleanThatIsNone) {
  const std::string header = R"({"w":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})";
  write_bytes(path_, length_bytes(header.size()) + header + "\x02");
  EXPECT_NE(error_of_opening().find("got a boolean other than 0 and 1"), std::string::npos);
}

TEST_F(Safetensors, ErrorsStayOnOneShortLineWhateverTheNames) {
  const std::string name = std::string(100'000, 'x');
  expect_refused(R"({"a\nb":3})", 0, "tensor 'a?b'");
  expect_refused("{\"" + name + "\":3}", 0, "xxx...'");
  EXPECT_LT(error_of_opening().size(), 400u);
}

TEST_F(Safetensors, RefusesEveryTruncation) {
  write_safetensors(path_, sample(), {{"format", "evenkeel"}});
  const std::string whole = read_file(path_);
  for (size_t size = 0; size < whole.size(); ++size) {
    write_bytes(path_, whole.substr(0, size));
    EXPECT_NE(error_of_opening(), "") << size << " of " << whole.size() << " bytes";
  }
}

TEST_F(Safetensors, MutatedFilesAreRefusedOrLoad) {
  write_safetensors(path_, sample(), {{"format", "evenkeel"}});
  const std::string whole = read_file(path_);
  RngStream rng(7, "safetensors mutations");
  int n_refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = whole;
    for (uint64_t i = 0, n = 1 + rng.below(4); i < n; ++i) {
      const uint64_t at = rng.below(bytes.size());
      const uint64_t kind = rng.below(4);
      if (kind == 0) bytes[at] = static_cast<char>(rng.below(256));
      if (kind == 1) bytes[at] = "0123456789-.eE{}[]\",:"[rng.below(21)];
      if (kind == 2) bytes.erase(at, 1 + rng.below(4));
      if (kind == 3) bytes.insert(at, bytes.substr(rng.below(bytes.size()), 1 + rng.below(8)));
    }
    write_bytes(path_, bytes);
    n_refused += error_of_opening().empty() ? 0 : 1;  // any other exception fails the test
  }
  EXPECT_GT(n_refused, 1000);
  EXPECT_LT(n_refused, 2000);  // flips in the data alone are not seen here; the manifest's hash sees them
}

TEST_F(Safetensors, ManyEntriesCostLittle) {
  std::string header = "{";
  for (int i = 0; i < 50'000; ++i)
    header += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  write_header(header + "}", 0);
  EXPECT_EQ(SafetensorsFile(path_).entries().size(), 50'000u);
  // The same text cut short of its closing brace is refused at its end.
  expect_refused(header, 0, "not JSON at its byte");
}

TEST_F(Safetensors, FolderReadsOneFile) {
  write_safetensors(path_, sample(), {});
  const SafetensorsFolder folder(folder_);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "flag", "none", "scalar"}));
  EXPECT_TRUE(folder.contains("a"));
  EXPECT_FALSE(folder.contains("b"));
  EXPECT_EQ(folder.find("a")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(folder.find("b"), nullptr);
  EXPECT_THROW(folder.load("b"), CheckpointError);
}

TEST_F(Safetensors, FolderReadsShards) {
  write_safetensors(folder_ / "one.safetensors", {{"a", at::arange(2)}}, {});
  write_safetensors(folder_ / "two.safetensors", {{"b", at::arange(3)}}, {});
  write_bytes(folder_ / "model.safetensors.index.json",
              R"({"metadata":{},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}})");
  const SafetensorsFolder folder(folder_);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(at::equal(folder.load("b"), at::arange(3)));
}

TEST_F(Safetensors, FolderRefusesHostileIndexes) {
  write_safetensors(folder_ / "one.safetensors", {{"a", at::arange(2)}}, {});
  const std::pair<const char*, const char*> cases[] = {
      {"[", "not JSON"},
      {"{}", "weight_map: got nothing; need an object"},
      {R"({"weight_map":[]})", "weight_map: got array"},
      {R"({"weight_map":{"a":1}})", "got integer; need a file name"},
      {R"({"weight_map":{"a":"../one.safetensors"}})", "without '/'"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "got file '/etc/passwd'"},
      {R"({"weight_map":{"a":""}})", "got file ''"},
      {R"({"weight_map":{"a":"absent.safetensors"}})", "absent.safetensors: got no such file"},
      {R"({"weight_map":{"b":"one.safetensors"}})", "tensor 'b': got no such tensor in 'one.safetensors'"},
      {R"({"weight_map":{"a":"one.safetensors","a":"one.safetensors"}})", "twice"}};
  for (const auto& [index, needle] : cases) {
    write_bytes(folder_ / "model.safetensors.index.json", index);
    try {
      const SafetensorsFolder folder(folder_);
      ADD_FAILURE() << "accepted " << index;
    } catch (const CheckpointError& error) {
      EXPECT_NE(std::string(error.what()).find(needle), std::string::npos) << error.what();
    }
  }
  fs::remove(folder_ / "model.safetensors.index.json");
  EXPECT_THROW(SafetensorsFolder{folder_}, CheckpointError);
  EXPECT_THROW(SafetensorsFolder{folder_ / "absent"}, CheckpointError);
}

TEST_F(Safetensors, AFileThatGetsShorterIsNoWeights) {
  write_safetensors(path_, {{"w", at::zeros({1 << 16})}}, {});
  const auto load_cut = [&](int64_t bytes) {
    install_mapping_faults();
    const SafetensorsFile file(path_);
    fs::resize_file(path_, static_cast<uintmax_t>(bytes));
    file.load("w");
  };
  EXPECT_EXIT(load_cut(5000), testing::ExitedWithCode(4),
              "model.safetensors: got 5000 bytes while it is read; need the 262");
  write_safetensors(path_, {{"w", at::zeros({1 << 16})}}, {});
  EXPECT_THROW(load_cut(static_cast<int64_t>(fs::file_size(path_)) - 1),
               MachineError);  // within the last page: no fault
}

}  // namespace
}  // namespace evenkeel::checkpoint

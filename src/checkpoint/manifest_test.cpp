#include "checkpoint/manifest.h"

#include <algorithm>
#include <fstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/rng.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

class Manifest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("evenkeel_manifest_" + std::to_string(getpid()));
    fs::create_directories(root_);
    folder_ = root_ / "checkpoints" / step_folder_name(3);
  }
  void TearDown() override { fs::remove_all(root_); }

  static void write_text(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  void save(const std::string& content) const {
    save_folder(folder_, [&](const fs::path& temporary) {
      write_file_atomically(temporary / "b.txt", content);
      write_file_atomically(temporary / "a.txt", "");
    });
  }
  std::string error_of_verifying(bool deep = true) const {
    try {
      verify_folder(folder_, deep);
    } catch (const CheckpointError& error) {
      return error.what();
    } catch (const VersionError& error) {
      return error.what();
    }
    return "";
  }
  void expect_error(const std::string& needle, bool deep = true) const {
    const std::string message = error_of_verifying(deep);
    EXPECT_NE(message.find(needle), std::string::npos) << "message: " << message << "\nneedle: " << needle;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  std::vector<std::string> names_beside() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder_.parent_path())) out.push_back(entry.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }

  fs::path root_, folder_;
};

TEST_F(Manifest, FolderNamesSortLikeSteps) {
  EXPECT_EQ(step_folder_name(120), "step-00000120");
  EXPECT_EQ(step_folder_name(123456789), "step-123456789");
}

TEST_F(Manifest, ListsSizesAndHashesInTheOrderOfNames) {
  save("abc");
  const std::string empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  const std::string abc_hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const Json manifest = Json::parse(read_file(folder_ / "manifest.json"), "manifest");
  EXPECT_EQ(manifest.dump(), R"({"format":"evenkeel.manifest.v1","files":[{"name":"a.txt","bytes":0,"sha256":")" +
                                 empty_hash + R"("},{"name":"b.txt","bytes":3,"sha256":")" + abc_hash + R"("}]})");
  EXPECT_EQ(error_of_verifying(), "");
}

TEST_F(Manifest, NamesTheFirstDifference) {
  save("abc");
  write_text(folder_ / "b.txt", "abd");
  EXPECT_EQ(error_of_verifying(/*deep=*/false), "");  // same size: only the hash tells
  expect_error("b.txt: got SHA-256 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9; need ba7816bf");
  write_text(folder_ / "b.txt", "abcd");
  expect_error("b.txt: got 4 bytes; need 3", /*deep=*/false);
  write_text(folder_ / "b.txt", "abc");
  write_text(folder_ / "extra", "");
  EXPECT_EQ(error_of_verifying(), "");
  EXPECT_THAT(evenkeel::testing::message_of<CheckpointError>([&] { require_only_listed(folder_); }),
              ::testing::HasSubstr("got file 'extra', which manifest.json does not list"));
  fs::remove(folder_ / "extra");
  EXPECT_NO_THROW(require_only_listed(folder_));
  fs::remove(folder_ / "a.txt");
  expect_error("a.txt: got no such file; need 0 bytes");
  fs::create_directory(folder_ / "a.txt");
  expect_error("a.txt: got no such file; need 0 bytes");
  fs::remove(folder_ / "manifest.json");
  expect_error("manifest.json: got no such file");
}

TEST_F(Manifest, ReplacesAFolderAsAWhole) {
  save("abc");
  save_folder(folder_ / "", [](const fs::path& temporary) { write_file_atomically(temporary / "c.txt", "new"); });
  EXPECT_EQ(error_of_verifying(), "");
  EXPECT_TRUE(fs::exists(folder_ / "c.txt"));
  EXPECT_FALSE(fs::exists(folder_ / "b.txt"));
  EXPECT_EQ(names_beside(), std::vector<std::string>{"step-00000003"});
}

TEST_F(Manifest, AFailedSaveLeavesWhatWasThere) {
  save("abc");
  EXPECT_THROW(save_folder(folder_,
                           [](const fs::path& temporary) {
                             write_text(temporary / "half", "x");
                             fail<MachineError>("disk: got it full; need room");
                           }),
               MachineError);
  EXPECT_EQ(error_of_verifying(), "");
  EXPECT_EQ(names_beside(), std::vector<std::string>{"step-00000003"});
}

TEST_F(Manifest, RemovesLeftoversOfKilledSavesOnly) {
  const fs::path parent = folder_.parent_path();
  fs::create_directories(parent / ".evenkeel-saving-step-00000002");
  write_text(parent / ".evenkeel-saving-step-00000002" / "half", "x");
  fs::create_directories(parent / ".evenkeel-replaced-step-00000001");
  fs::create_directories(parent / ".evenkeel-saving-step-00000007");
  write_text(parent / "mine.tmp", "");
  const int busy = open((parent / ".evenkeel-saving-step-00000007").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(busy, LOCK_EX), 0);
  save("abc");
  EXPECT_EQ(names_beside(), (std::vector<std::string>{".evenkeel-saving-step-00000007", "mine.tmp", "step-00000003"}));
  close(busy);
}

// Where a kill came between the two renames of a replacement.
TEST_F(Manifest, PutsAWholeLeftoverInTheEmptyPlace) {
  const fs::path parent = folder_.parent_path();
  const fs::path saving = parent / ".evenkeel-saving-step-00000003",
                 replaced = parent / ".evenkeel-replaced-step-00000003";
  const auto leave = [&](const std::string& content,
                         const fs::path& name) {  // made elsewhere: a save clears leftovers away
    save_folder(root_ / "elsewhere" / "made",
                [&](const fs::path& temporary) { write_file_atomically(temporary / "b.txt", content); });
    make_folders(parent);
    fs::rename(root_ / "elsewhere" / "made", name);
  };
  leave("old", replaced);
  leave("new", saving);
  remove_leftovers(parent);
  EXPECT_EQ(read_file(folder_ / "b.txt"), "new");
  EXPECT_EQ(names_beside(), std::vector<std::string>{"step-00000003"});

  fs::rename(folder_, replaced);
  leave("newest", saving);
  write_text(saving / "b.txt", "half");
  remove_leftovers(parent);
  EXPECT_EQ(read_file(folder_ / "b.txt"), "new") << "the old one, since the newer is not whole";
  EXPECT_EQ(names_beside(), std::vector<std::string>{"step-00000003"});

  leave("old", replaced);  // the place is taken again: what was replaced goes
  save("third");
  EXPECT_EQ(read_file(folder_ / "b.txt"), "third");
  EXPECT_EQ(names_beside(), std::vector<std::string>{"step-00000003"});

  fs::remove_all(folder_);
  leave("gone", parent / ".evenkeel-removed-step-00000003");  // was to be removed: it does not come back
  write_text(parent / ".evenkeel-saving-file", "of somebody");
  fs::create_directories(parent / ".evenkeel-saving-mine");
  remove_leftovers(parent);
  EXPECT_EQ(names_beside(), (std::vector<std::string>{".evenkeel-saving-file", ".evenkeel-saving-mine"}));
}

TEST_F(Manifest, TwoSavesOfOneFolderDoNotMix) {
  save_folder(folder_, [&](const fs::path& temporary) {
    write_file_atomically(temporary / "mine", "1");
    EXPECT_THROW(save("abc"), MachineError);
  });
  EXPECT_EQ(error_of_verifying(), "");
  EXPECT_TRUE(fs::exists(folder_ / "mine"));
}

TEST_F(Manifest, RefusesWrongContent) {
  save("abc");
  const std::string hash(64, 'a');
  const auto with_file = [&](const std::string& file) {
    return R"({"format":"evenkeel.manifest.v1","files":[)" + file + "]}";
  };
  const std::pair<std::string, std::string> cases[] = {
      {"", "empty text"},
      {"[]", "format: got nothing; need a string"},
      {R"({"format":1,"files":[]})", "format: got integer"},
      {R"({"format":"evenkeel.manifest.vx","files":[]})", "got 'evenkeel.manifest.vx'; need 'evenkeel.manifest.v1'"},
      {R"({"format":"evenkeel.manifest.v1","files":{}})", "files: got object; need an array"},
      {with_file("3"), "files[0]: name: got nothing"},
      {with_file(R"({"name":"../b.txt","bytes":3,"sha256":")" + hash + "\"}"), "got '../b.txt'"},
      {with_file(R"({"name":"/etc/passwd","bytes":3,"sha256":")" + hash + "\"}"), "got '/etc/passwd'"},
      {with_file(R"({"name":"manifest.json","bytes":3,"sha256":")" + hash + "\"}"), "got 'manifest.json'"},
      {with_file(R"({"name":"","bytes":3,"sha256":")" + hash + "\"}"), "name: got ''"},
      {with_file(R"({"name":"b.txt","bytes":-3,"sha256":")" + hash + "\"}"), "bytes: got -3"},
      {with_file(R"({"name":"b.txt","bytes":"3","sha256":")" + hash + "\"}"), "bytes: got string; need an integer"},
      {with_file(R"({"name":"b.txt","bytes":3,"sha256":"AA"})"), "sha256: got 'AA'; need 64"},
      {with_file(R"({"name":"b.txt","bytes":3})"), "sha256: got nothing"},
  };
  for (const auto& [text, needle] : cases) {
    write_text(folder_ / "manifest.json", text);
    expect_error(needle);
  }
  const std::string twice = R"({"name":"a.txt","bytes":0,"sha256":")" + hash + "\"}";
  write_text(folder_ / "manifest.json", with_file(twice + "," + twice));
  expect_error("'a.txt' twice");
}

TEST_F(Manifest, RefusesAManifestOfMoreThanSixteenMebibytes) {
  save("abc");
  fs::resize_file(folder_ / "manifest.json", (int64_t{16} << 20) + 1);
  expect_error("manifest.json: got 16777217 bytes; need at most 16777216");
}

TEST_F(Manifest, EveryTruncationAndEveryFlippedByteIsSeen) {
  save("abc");
  const std::string whole = read_file(folder_ / "manifest.json");
  for (size_t size = 0; size + 1 < whole.size(); ++size) {  // without the last newline it is still whole
    write_text(folder_ / "manifest.json", whole.substr(0, size));
    EXPECT_NE(error_of_verifying(), "") << size;
  }
  RngStream rng(11, "manifest mutations");
  for (int round = 0; round < 500; ++round) {
    std::string bytes = whole;
    bytes[rng.below(bytes.size())] = static_cast<char>(rng.below(256));
    write_text(folder_ / "manifest.json", bytes);
    error_of_verifying();  // any other exception fails the test
  }
}

TEST_F(Manifest, SavedStepsAreTheWholeOnes) {
  EXPECT_TRUE(saved_steps(root_).empty());
  for (const int64_t step : {20, 3, 100})
    save_folder(root_ / "checkpoints" / step_folder_name(step),
                [](const fs::path& temporary) { write_file_atomically(temporary / "state.json", "{}"); });
  fs::create_directories(root_ / "checkpoints" / "step-00000200");                 // no manifest
  fs::create_directories(root_ / "checkpoints" / "step-99999999999999999999999");  // no number
  fs::create_directories(root_ / "checkpoints" / "step-0000000x");
  write_text(root_ / "checkpoints" / "step-00000300", "a file");
  fs::resize_file(root_ / "checkpoints" / "step-00000020" / "state.json", 1);  // cut short
  EXPECT_EQ(saved_steps(root_), (std::vector<int64_t>{3, 100}));
}

class NewestWholeTest : public Manifest {
 protected:
  fs::path save_step(int64_t step) const {
    const fs::path folder = root_ / "checkpoints" / step_folder_name(step);
    save_folder(folder, [](const fs::path& temporary) { write_file_atomically(temporary / "state.json", "{}"); });
    return folder;
  }
  static void damage(const fs::path& folder) { write_text(folder / "state.json", "[]"); }  // of the same size
};

TEST_F(NewestWholeTest, PassesOverDamageAndLeavesEverythingAsItIs) {
  EXPECT_FALSE(find_newest_whole(root_));
  const auto five = save_step(5), ten = save_step(10), fifteen = save_step(15);
  for (const char* name : {"step-00000005-best", "step-by-step", "step-5", "step-000000020"})
    fs::copy(five, root_ / "checkpoints" / name);
  damage(fifteen);
  const auto before = names_beside();
  const auto newest = find_newest_whole(root_);
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->checkpoint, ten);
  ASSERT_EQ(newest->damaged.size(), 1U);
  EXPECT_EQ(newest->damaged[0].first, fifteen);
  EXPECT_EQ(names_beside(), before);
  EXPECT_EQ(saved_steps(root_), (std::vector<int64_t>{5, 10, 15}));  // names and sizes alone
}

TEST_F(NewestWholeTest, RefusesWhereAllAreDamaged) {
  const auto five = save_step(5), ten = save_step(10);
  damage(five);
  damage(ten);
  const auto refusal = [&] {
    return evenkeel::testing::message_of<CheckpointError>([&] { find_newest_whole(root_); });
  };
  EXPECT_THAT(refusal(), ::testing::HasSubstr("got 2 checkpoints, none of them whole"));
  EXPECT_THAT(refusal(), ::testing::HasSubstr("step-00000010/state.json: got SHA-256"));
  put_aside(ten, "it is damaged");
  EXPECT_EQ(names_beside(), (std::vector<std::string>{"damaged-step-00000010", "step-00000005"}));
  damage(save_step(10));
  put_aside(ten, "it is damaged");
  EXPECT_EQ(names_beside(),
            (std::vector<std::string>{"damaged-step-00000010", "damaged-step-00000010.2", "step-00000005"}));
  put_aside(five, "it is damaged");
  EXPECT_THAT(refusal(), ::testing::HasSubstr("got 3 checkpoints, none of them whole"));
}

// A copy, or one that was renamed.
TEST_F(NewestWholeTest, TheNameMustBeThatOfTheStep) {
  const auto save = [&](int64_t step) {
    const fs::path folder = root_ / "checkpoints" / step_folder_name(step);
    save_folder(folder, [&](const fs::path& temporary) {
      write_file_atomically(temporary / "state.json", "{\"step\": " + std::to_string(step) + "}");
    });
    return folder;
  };
  const auto five = save(5), copy = root_ / "checkpoints" / step_folder_name(99),
             moved = root_ / "checkpoints" / step_folder_name(10);
  fs::copy(five, copy);
  const auto error_of = [](const fs::path& folder, bool deep) {
    return evenkeel::testing::message_of<CheckpointError>([&] { verify_folder(folder, deep); });
  };
  for (const bool deep : {true, false}) {
    EXPECT_NO_THROW(verify_folder(five, deep));
    EXPECT_NO_THROW(verify_folder(five / "", deep));
    EXPECT_THAT(
        error_of(copy, deep),
        ::testing::HasSubstr("got step 5 in a folder with the name step-00000099; need the name step-00000005"));
    EXPECT_THAT(error_of(copy / "", deep), ::testing::HasSubstr("step-00000099"));
  }
  fs::copy(five, root_ / "best");
  EXPECT_NO_THROW(verify_folder(root_ / "best", /*deep=*/true));  // a name of no step
  EXPECT_EQ(saved_steps(root_), std::vector<int64_t>{5});
  const auto newest = find_newest_whole(root_);
  EXPECT_EQ(newest->checkpoint, five);
  EXPECT_TRUE(newest->damaged.empty());
  ASSERT_EQ(newest->misnamed.size(), 1U);
  EXPECT_EQ(newest->misnamed[0].first, copy);

  fs::rename(five, moved);
  EXPECT_THAT(evenkeel::testing::message_of<CheckpointError>([&] { find_newest_whole(root_); }),
              ::testing::HasSubstr("got 2 checkpoints, none of them whole"));
  save(10);  // needs the name
  EXPECT_EQ(read_file(moved / "state.json"), "{\"step\": 10}");
  EXPECT_EQ(read_file(root_ / "checkpoints" / "damaged-step-00000010" / "state.json"), "{\"step\": 5}");
}

TEST_F(NewestWholeTest, ALeftoverOfANewerVersionIsKept) {
  const auto five = save_step(5);
  write_text(five / "manifest.json", R"({"format": "evenkeel.manifest.v2", "files": []})");
  fs::rename(five, root_ / "checkpoints" / ".evenkeel-replaced-step-00000005");
  remove_leftovers(root_ / "checkpoints");
  EXPECT_EQ(names_beside(), std::vector<std::string>{"step-00000005"});
}

TEST_F(NewestWholeTest, ANewerVersionIsNoDamage) {
  save_step(5);
  write_text(save_step(10) / "manifest.json", R"({"format": "evenkeel.manifest.v2", "files": []})");
  EXPECT_THAT(evenkeel::testing::message_of<VersionError>([&] { find_newest_whole(root_); }),
              ::testing::HasSubstr("got 'evenkeel.manifest.v2', of a newer evenkeel"));
  EXPECT_THROW(saved_steps(root_), VersionError);
}

}  // namespace
}  // namespace evenkeel::checkpoint

#include "core/file_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <csignal>
#include <sys/resource.h>

#include "core/errors.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Sha256, MatchesKnownVectors) {  // FIPS 180-2, appendix B
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1000000, 'a');
  EXPECT_EQ(sha256_hex(million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const testing::TemporaryFolder folder;
  EXPECT_EQ(sha256_file(folder.write("a", million + million)), sha256_hex(million + million));  // more than one buffer
}

TEST(AtomicFile, AppearsWholeAtCommit) {
  const testing::TemporaryFolder folder;
  const std::string big(3 << 20, 'x');
  {
    AtomicFile file(folder / "out");
    file.write("begin ");
    file.write(big);
    EXPECT_EQ(file.size_bytes(), 6 + (3 << 20));
    EXPECT_FALSE(fs::exists(folder / "out"));
    file.commit();
  }
  EXPECT_EQ(read_file(folder / "out"), "begin " + big);
  EXPECT_THAT(folder.names(), ElementsAre("out"));
}

TEST(AtomicFile, WritesInAnyOrder) {
  const testing::TemporaryFolder folder;
  {
    AtomicFile file(folder / "out");
    file.write_at(4, "world", 5);
    file.write_at(0, "the ", 4);
    EXPECT_EQ(file.size_bytes(), 9);
    file.write_at(1 << 20, "!", 1);
    file.commit();
  }
  const std::string content = read_file(folder / "out");
  EXPECT_EQ(content.size(), (1u << 20) + 1);
  EXPECT_EQ(content.substr(0, 10), std::string("the world") + '\0');
  EXPECT_EQ(content.back(), '!');
  EXPECT_THAT(folder.names(), ElementsAre("out"));
}

TEST(MappedFile, ReleasedPagesReadTheSame) {
  const testing::TemporaryFolder folder;
  const std::string text(100000, 'x');
  const MappedFile file(folder.write("a", text));
  file.release(5000, 90000);
  file.release(0, 0);
  EXPECT_EQ(file.text(), text);
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const testing::TemporaryFolder folder;
  folder.write("out", "old");
  {
    AtomicFile file(folder / "out");
    file.write("new");
  }
  EXPECT_EQ(read_file(folder / "out"), "old");
  EXPECT_THAT(folder.names(), ElementsAre("out"));
  write_file_atomically(folder / "out", "new");
  EXPECT_EQ(read_file(folder / "out"), "new");
}

TEST(AtomicFile, AFailedCommitLeavesNothing) {
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / "taken" / "inside");
  const auto message = testing::message_of<MachineError>([&] { write_file_atomically(folder / "taken", "x"); });
  EXPECT_THAT(message, HasSubstr((folder / "taken").string()));
  EXPECT_THAT(folder.names(), ElementsAre("taken"));
  EXPECT_THROW(AtomicFile(folder / "absent" / "out"), MachineError);
}

TEST(AtomicFile, AFullDiskIsAMachineError) {
  const testing::TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);  // as a quota that is used up
  EXPECT_THAT(testing::message_of<MachineError>([&] { write_file_atomically(folder / "out", "x"); }),
              HasSubstr("on writing"));
  EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_THAT(folder.names(), IsEmpty());
}

std::string temporary_name(const std::string& name, int process) {
  return ".evenkeel-" + name + ".tmp" + std::to_string(process);
}

TEST(AtomicFile, FollowsNoLinkAndTakesOverWhatItsNumberLeft) {
  const testing::TemporaryFolder folder;
  const std::string name = temporary_name("out", getpid());
  folder.write(name, "of an earlier process");
  write_file_atomically(folder / "out", "x");
  EXPECT_THAT(folder.names(), ElementsAre("out"));
  folder.write("mine", "mine");
  fs::create_symlink("mine", folder / name);
  EXPECT_THROW(write_file_atomically(folder / "out", "y"), MachineError);
  EXPECT_EQ(read_file(folder / "mine") + read_file(folder / "out"), "minex");
  EXPECT_TRUE(fs::is_symlink(folder / name));
}

TEST(AtomicFile, AFinishedOneIsNotThereYet) {
  const testing::TemporaryFolder folder;
  {
    AtomicFile file(folder / "out");
    file.write("text");
    file.finish();
    EXPECT_FALSE(fs::exists(folder / "out"));
  }
  EXPECT_THAT(folder.names(), IsEmpty());
  AtomicFile file(folder / "out");
  file.write("text");
  file.finish();
  file.commit();
  EXPECT_EQ(read_file(folder / "out"), "text");
}

TEST(RemoveTemporariesOf, LeavesThoseOfLivingProcessesAndOtherNames) {
  const testing::TemporaryFolder folder;
  const int dead = testing::dead_process();
  const std::string own = temporary_name("en.bin", getpid()), first = temporary_name("en.bin", 1),
                    other = temporary_name("en2.bin", dead), others = "en.bin.tmp" + std::to_string(dead);
  const std::string longer = temporary_name("en.bin", dead) + "x", link = temporary_name("en.json", dead),
                    in_place = temporary_name("en.idx", dead);
  for (const auto& name : {temporary_name("en.bin", dead), own, first, other, others, longer, std::string("en.bin"),
                           std::string(".evenkeel-en.bin.tmp"), std::string(".evenkeel-en.bin.tmp99999999999")})
    folder.write(name, "x");
  fs::create_directories(folder / in_place);
  fs::create_symlink("en.bin", folder / link);
  for (const char* name : {"en.bin", "en.idx", "en.json"})
    remove_temporaries_of(folder / name);  // folders and links stay
  EXPECT_THAT(folder.names(),
              ::testing::UnorderedElementsAre(own, first, other, others, longer, link, in_place, "en.bin",
                                              ".evenkeel-en.bin.tmp", ".evenkeel-en.bin.tmp99999999999"));
  EXPECT_NO_THROW(remove_temporaries_of(folder / "absent" / "en.bin"));
}

TEST(RemoveTemporariesIn, LeavesOtherNamesAndFolders) {
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / temporary_name("a", 12));
  for (const auto& name : {temporary_name("a.json", 123), temporary_name("b.json", getpid()), std::string("a.json"),
                           std::string("a.json.tmp123"), std::string("notes.tmp7"), std::string(".evenkeel-tmp7")})
    folder.write(name, "x");
  remove_temporaries_in(folder / "");
  EXPECT_THAT(folder.names(), ::testing::UnorderedElementsAre("a.json", "a.json.tmp123", "notes.tmp7", ".evenkeel-tmp7",
                                                              temporary_name("a", 12)));
  EXPECT_NO_THROW(remove_temporaries_in(folder / "absent"));
}

TEST(ReadFile, NamesWhatIsThereInstead) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT(testing::message_of<DataError>([&] { read_file(folder / "absent"); }), HasSubstr("no such file"));
  EXPECT_THAT(testing::message_of<DataError>([&] { read_file(folder.path()); }), HasSubstr("a folder or special file"));
  EXPECT_THROW(read_file("/dev/null"), DataError);
  const auto file = folder.write("a", "12345");
  EXPECT_THROW(read_file(file / "below"), DataError);  // a file where a folder must be
  EXPECT_EQ(read_file(file, 5), "12345");
  EXPECT_THAT(testing::message_of<DataError>([&] { read_file(file, 4); }), HasSubstr("got 5 bytes; need at most 4"));
  EXPECT_EQ(read_file(folder.write("empty", "")), "");
  EXPECT_THROW(sha256_file(folder.path()), DataError);
}

TEST(MakeFolders, RefusesAFileInTheWay) {
  const testing::TemporaryFolder folder;
  make_folders(folder / "a" / "b");
  EXPECT_TRUE(fs::is_directory(folder / "a" / "b"));
  EXPECT_NO_THROW(make_folders(folder / "a" / "b"));
  const auto file = folder.write("file", "x");
  EXPECT_THAT(testing::message_of<ConfigError>([&] { make_folders(file); }), HasSubstr("got a file; need a folder"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { make_folders(file / "below"); }),
              HasSubstr(file.string() + ": got a file"));
  EXPECT_THROW(make_folders("/proc/no/such"), MachineError);
}

TEST(MappedFile, ShowsTheBytes) {
  const testing::TemporaryFolder folder;
  MappedFile file(folder.write("a", "hello"));
  EXPECT_EQ(file.text(), "hello");
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.text(), "hello");
  MappedFile assigned(folder.write("b", "other"));
  assigned = std::move(moved);
  EXPECT_EQ(assigned.text(), "hello");
  EXPECT_EQ(MappedFile(folder.write("empty", "")).size(), 0u);
  EXPECT_EQ(MappedFile().size(), 0u);
  EXPECT_THROW(MappedFile(folder / "absent"), DataError);
  EXPECT_THROW(MappedFile(folder.path()), DataError);
}

TEST(Folders, RenameAndSyncNameTheirPath) {
  const testing::TemporaryFolder folder;
  rename_synced(folder.write("a", "x"), folder / "b");
  EXPECT_THAT(folder.names(), ElementsAre("b"));
  EXPECT_THROW(rename_synced(folder / "absent", folder / "c"), MachineError);
  EXPECT_NO_THROW(sync_folder(folder.path()));
  EXPECT_THAT(testing::message_of<MachineError>([&] { sync_folder(folder / "absent"); }), HasSubstr("absent"));
}

}  // namespace
}  // namespace evenkeel

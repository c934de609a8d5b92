#include "core/output.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::HasSubstr;

std::string refusal(const Output& output, const std::vector<fs::path>& inputs = {}) {
  return testing::message_of<ConfigError>([&] { require_own_outputs({output}, inputs); });
}

TEST(RequireOwnOutputs, TakesWhatIsAbsent) {
  const testing::TemporaryFolder folder;
  EXPECT_NO_THROW(require_own_outputs(
      {{folder / "page.html", OutputKind::page}, {folder / "no" / "such", OutputKind::checkpoint}}));
  EXPECT_NO_THROW(require_own_outputs(run_outputs(folder / "run", "")));
  EXPECT_NO_THROW(require_own_outputs(study_outputs(folder / "study", "")));
  EXPECT_NO_THROW(require_own_outputs(analysis_outputs(folder / "analysis")));
  EXPECT_THAT(refusal({folder / "", OutputKind::page}), HasSubstr("got no file name"));
  for (const char* above : {".", "..", "absent/.."})
    EXPECT_THAT(refusal({folder / above, OutputKind::page}),
                HasSubstr(std::string(above) + ": got a folder; need the name of a file to write"));
}

TEST(RequireOwnOutputs, RefusesWhatIsNoPlainFile) {
  const testing::TemporaryFolder folder;
  const auto page = folder.write("own.html", "<title>evenkeel report</title>");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink(page, folder / "link");
  fs::create_symlink("absent", folder / "dangling");
  fs::create_directories(folder / "folder");
  for (const auto& [name, words] : {std::pair("pipe", "got a pipe"),
                                    {"link", "got a symbolic link to '"},
                                    {"dangling", "link to 'absent'"},
                                    {"folder", "got a folder"}})
    EXPECT_THAT(refusal({folder / name, OutputKind::page}), HasSubstr((folder / name).string() + ": ")) << words;
  EXPECT_THAT(refusal({"/dev/null", OutputKind::trace}),
              HasSubstr("/dev/null: got a device where a trace is to be written"));
  EXPECT_THAT(refusal({page, OutputKind::subfolder}), HasSubstr("got a file where a folder"));
  EXPECT_NO_THROW(require_own_outputs({{page, OutputKind::page}}));
}

TEST(RequireOwnOutputs, RefusesAnInputUnderAnyName) {
  const testing::TemporaryFolder folder;
  const auto page = folder.write("own.html", "<title>evenkeel report</title>");
  fs::create_hard_link(page, folder / "hard");
  fs::create_symlink(page, folder / "soft");
  for (const auto& input :
       {page, folder / "hard", folder / "soft", folder.path() / "." / ".." / folder.path().filename() / "own.html"})
    EXPECT_THAT(refusal({page, OutputKind::page}, {"absent", input}),
                HasSubstr("got an output that is the input " + input.string()));
  EXPECT_NO_THROW(require_own_outputs({{page, OutputKind::page}}, {folder.write("other.html", "")}));
}

TEST(RequireOwnOutputs, RefusesAFolderAboveAnInput) {
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / "step");
  folder.write("step/manifest.json", R"({"format": "evenkeel.manifest.v1", "files": [{"name": "a"}]})");
  folder.write("step/a", "");
  const Output step{folder / "step", OutputKind::checkpoint};
  EXPECT_NO_THROW(require_own_outputs({step}, {folder.write("beside", "")}));
  fs::create_symlink(folder / "step" / "a", folder / "link");
  for (const auto& input : {folder / "step" / "a", folder / "link"})
    EXPECT_THAT(refusal(step, {input}), HasSubstr("holds the input " + input.string()));
  EXPECT_THAT(refusal(step, {folder / "step"}), HasSubstr("is the input"));
  folder.write("step/notes", "mine");
  EXPECT_THAT(refusal(step), HasSubstr("did not write as a checkpoint"));
}

TEST(Marks, APairIsWhatItsDescriptionSays) {
  const testing::TemporaryFolder folder;
  const auto parts = pair_outputs(folder / "en.v1");
  const auto is_refused = [&](const char* part) {
    EXPECT_THAT(testing::message_of<ConfigError>([&] { require_own_outputs(parts); }),
                HasSubstr("en.v1" + std::string(part) + ": got a file that evenkeel did not write as part of a pair"));
  };
  folder.write("en.v1.bin", "12345678");
  is_refused(".bin");  // another program's pair has no description
  folder.write("en.v1.json", R"({"format": "evenkeel.data.v1", "tokens": 4, "documents": 2, "vocab_size": 100})");
  folder.write("en.v1.idx", std::string(42 + 2 * 20, 'x'));
  EXPECT_NO_THROW(require_own_outputs(parts));
  for (const auto& part : parts)
    EXPECT_EQ(is_own(part), part.path.extension() != ".scored") << part.path;  // which is not there
  folder.write("en.v1.scored", "1010");
  is_refused(".scored");  // the description says nothing of it
  folder.write("en.v1.json",
               R"({"format": "evenkeel.data.v1", "tokens": 4, "documents": 2, "vocab_size": 100, "scored": {}})");
  EXPECT_NO_THROW(require_own_outputs(parts));
  folder.write("en.v1.scored", "101");
  is_refused(".scored");
  fs::remove(folder / "en.v1.scored");
  folder.write("en.v1.idx", "x");
  is_refused(".idx");
  folder.write("en.v1.idx", std::string(42 + 2 * 20, 'x'));
  folder.write("en.v1.json", R"({"format": "evenkeel.data.v1", "tokens": 4, "documents": 2, "vocab_size": 65500})");
  is_refused(".bin");
  const auto describe = [&](const std::string& more) {
    folder.write("en.v1.json",
                 R"({"format": "evenkeel.data.v1", "tokens": 4, "documents": 2, "vocab_size": null, )" + more + "}");
  };
  describe(R"("contents": {"largest_id": 65498})");  // without a vocabulary the largest id says how wide an id is
  EXPECT_NO_THROW(require_own_outputs(parts));
  describe(R"("contents": {"largest_id": 65499})");
  is_refused(".bin");
  describe(R"("contents": {"largest_id": 9}, "sequences": 3)");
  is_refused(".idx");
  folder.write("en.v1.idx", std::string(42 + 3 * 12 + 2 * 8, 'x'));
  EXPECT_NO_THROW(require_own_outputs(parts));
  folder.write("en.v1.json", R"({"format": "evenkeel.data.v1", "unfinished": true})");
  EXPECT_NO_THROW(require_own_outputs(parts));
  folder.write("en.v1.json", R"({"text": "a document"})");
  is_refused(".json");  // the first to be named: it says whose the others are
}

TEST(Marks, ATokenFileForAnotherTrainerHasNone) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "en.npy";
  EXPECT_NO_THROW(require_own_outputs({{path, OutputKind::tokens}}));
  folder.write("en.npy", "");
  EXPECT_THAT(refusal({path, OutputKind::tokens}),
              HasSubstr("got a file that evenkeel did not write as a token file with a mark, which such files have no "
                        "place for; need it removed"));
}

TEST(Marks, APageIsKnownByItsHead) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "a.html";
  for (const char* text :
       {"<!doctype html><meta name=\"generator\" content=\"evenkeel\">", "<title>evenkeel report</title>"}) {
    folder.write("a.html", text);
    EXPECT_TRUE(is_own({path, OutputKind::page}));
  }
  for (const std::string& text :
       {std::string(), std::string("<title>mine</title>"), std::string(2000, ' ') + "<title>evenkeel report</title>"}) {
    folder.write("a.html", text);
    EXPECT_THAT(refusal({path, OutputKind::page}),
                HasSubstr("did not write as a page; need it removed, or another --out"));
  }
}

std::string safetensors(const std::string& header) {
  const uint64_t size = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &size, 8);
  return out + header;
}

TEST(Marks, ATraceIsKnownByItsMetadata) {
  const testing::TemporaryFolder folder;
  const std::string metadata =
      R"("format_version": "1", "n_experts": "4", "top_k": "2", "mode": "eval", "capacity": "", "tokenizer_sha256": "")";
  const Output trace{folder.write("t", safetensors(R"({"__metadata__": {)" + metadata + R"(}, "predicted_ids": {}})")),
                     OutputKind::trace};
  EXPECT_TRUE(is_own(trace));
  for (const std::string& content :
       {std::string("short"), safetensors(R"({"__metadata__": {"format": "pt"}, "w": {}})"), safetensors("{}"),
        safetensors("no JSON"), std::string(8, '\xff') + "{}"}) {
    folder.write("t", content);
    EXPECT_FALSE(is_own(trace)) << content;
  }
}

TEST(Marks, ATokenizerOfAnotherTrainerIsNone) {  // one of ours: tokenizer_train_test.cpp
  const testing::TemporaryFolder folder;
  const std::string minus_one = std::string(9, '\xff') + "\x01";
  const auto spec = [&](const std::string& first, const std::string& symbol) {
    const std::string fields = first + "\x18\x01\x80\x01\x10\x90\x01\xe0\x20\xfa\x01" +
                               std::string(1, static_cast<char>(symbol.size())) + symbol + "\x98\x02\x01\xc0\x02" +
                               std::string(1, '\0') + "\xc8\x02\x01\xd0\x02\x02\xd8\x02" + minus_one;
    return std::string("\x12") + static_cast<char>(fields.size()) + fields;
  };
  const Output model{folder.write("a.model", spec("", "\n")), OutputKind::tokenizer};
  EXPECT_TRUE(is_own(model));
  for (const std::string& content :
       {spec("\x0a\x05t.txt", "\n"), spec("\x12\x01m", "\n"), spec("", "\t"), spec("", "\n") + "\x12\x02\x18\x01\x12",
        std::string("\x12\x7f"), std::string(), std::string("text")}) {
    folder.write("a.model", content);
    EXPECT_FALSE(is_own(model));
  }
}

TEST(Marks, FilesOfARunAreEmptyOrBeginAsTheirs) {
  const testing::TemporaryFolder folder;
  const auto holds = [&](OutputKind kind, const std::string& text) { return is_own({folder.write("a", text), kind}); };
  EXPECT_TRUE(holds(OutputKind::metrics, "") && holds(OutputKind::metrics, "{\"step\":1,\"phase\":\"one\"}\n") &&
              !holds(OutputKind::metrics, "{\"loss\":1}\n"));
  EXPECT_FALSE(holds(OutputKind::metrics, "{\"step\": 1, \"loss\": 3.2}\n"));  // of many a trainer
  EXPECT_TRUE(holds(OutputKind::log, "") && holds(OutputKind::log, "evenkeel: model") &&
              !holds(OutputKind::log, "my log"));
  EXPECT_TRUE(holds(OutputKind::lock, "") && holds(OutputKind::lock, std::string(kFolderMark)) &&
              !holds(OutputKind::lock, "123"));
  EXPECT_TRUE(holds(OutputKind::results, "{\n \"schema\": \"evenkeel.results.v1\"") &&
              !holds(OutputKind::results, "{\"acc\": 1}"));
  EXPECT_TRUE(holds(OutputKind::speed, "{\"format\":\"evenkeel.speed.v1\"") && !holds(OutputKind::speed, ""));
  EXPECT_TRUE(holds(OutputKind::events, "") && holds(OutputKind::events, "....brain.Event:2") &&
              !holds(OutputKind::events, "mine"));
}

TEST(Marks, AFolderIsKnownByItsLockOrWhatItHolds) {
  const testing::TemporaryFolder folder;
  const auto put = [&](const std::string& name, std::string_view text) {
    fs::create_directories((folder / name).parent_path());
    folder.write(name, text);
  };
  const auto is_known = [&](const std::string& name) {
    return is_own({folder / name / "recipe.toml", OutputKind::member});
  };
  put("lock/recipe.toml", "");
  EXPECT_FALSE(is_known("lock"));
  put("lock/.lock", "");
  EXPECT_FALSE(is_known("lock"));
  put("lock/.lock", kFolderMark);
  EXPECT_TRUE(is_known("lock"));
  put("resolved/recipe.toml", "");
  put("resolved/resolved.json", R"({"model": {}, "train": {}})");
  EXPECT_FALSE(is_known("resolved"));
  put("resolved/resolved.json", R"({"model": {}, "train": {}, "phase": []})");
  EXPECT_TRUE(is_known("resolved"));
  put("arms/recipe.toml", "");
  put("arms/arms/a/resolved.json", R"({"model": {}, "train": {}, "phase": []})");
  EXPECT_TRUE(is_known("arms"));
  put("steps/recipe.toml", "");
  put("steps/checkpoints/mine", "");
  EXPECT_FALSE(is_known("steps"));
  EXPECT_THAT(refusal({folder / "steps" / "checkpoints", OutputKind::subfolder}),
              HasSubstr("got a folder that evenkeel did not write"));
  put("steps/checkpoints/step-00000001/manifest.json", R"({"format":"evenkeel.manifest.v1"})");
  EXPECT_TRUE(is_known("steps"));
  EXPECT_NO_THROW(require_own_outputs({{folder / "steps" / "checkpoints", OutputKind::subfolder}}));
}

TEST(Marks, ATableHasTheColumnsThatTheResultsSay) {
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / "csv");
  const Output load{folder / "csv" / "load.csv", OutputKind::table},
      all{folder / "csv" / "pairs_all.csv", OutputKind::table};
  folder.write("csv/load.csv", "layer,seconds [s]\r\n0,1\r\n");
  folder.write("csv/pairs_all.csv", "layer,expert\r\n");
  EXPECT_FALSE(is_own(load));
  folder.write(
      "results.json",
      R"({"schema": "evenkeel.results.v1", "tables": {"load": {"columns": [{"name": "layer", "unit": ""}, {"name": "seconds", "unit": "s"}], "rows": [[0, 1]], "chance": null, "tokens": null, "source": ""}}})");
  EXPECT_NO_THROW(require_own_outputs(analysis_outputs(folder.path())));
  EXPECT_TRUE(is_own(load) && is_own(all));
  folder.write("csv/load.csv", "layer,seconds [s]\n");
  folder.write("csv/pairs_all.csv", "mine,too\r\n");
  EXPECT_FALSE(is_own(load) || is_own(all));
  EXPECT_THROW(require_own_outputs(study_outputs(folder.path(), "")), ConfigError);
  folder.write("csv/load.csv", "layer,seconds [s]\r\n");
  EXPECT_NO_THROW(require_own_outputs(study_outputs(folder.path(), "")));  // a study lets files of other names be
  EXPECT_THROW(require_own_outputs(analysis_outputs(folder.path())), ConfigError);
}

TEST(RunOutputs, ARecipeThatStandsThereIsNotReplaced) {
  const testing::TemporaryFolder folder;
  folder.write("recipe.toml", "seed = 1");
  EXPECT_NO_THROW(require_own_outputs(run_outputs(folder.path(), "seed = 1")));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { require_own_outputs(run_outputs(folder.path(), "seed = 2")); }),
              HasSubstr("recipe.toml: got a file that evenkeel did not write"));
  EXPECT_TRUE(has_content(folder / "recipe.toml", "seed = 1"));
  EXPECT_FALSE(has_content(folder / "recipe.toml", "seed = 2") || has_content(folder / "absent", ""));
}

TEST(RunOutputs, EventsOfOtherWritersStay) {
  EXPECT_TRUE(is_events_name("events.out.tfevents.0000000120.evenkeel"));
  for (const char* name : {"events.out.tfevents.1700000000.evenkeel", "events.out.tfevents.0000000120.host",
                           "events.out.tfevents.0000000120.evenkeel.1", "x"})
    EXPECT_FALSE(is_events_name(name)) << name;
  const testing::TemporaryFolder folder;
  fs::create_directories(folder / "tensorboard");
  folder.write(".lock", kFolderMark);
  folder.write("tensorboard/events.out.tfevents.1700000000.host", "mine");
  EXPECT_NO_THROW(require_own_outputs(run_outputs(folder.path(), "")));
  folder.write("tensorboard/events.out.tfevents.0000000000.evenkeel", "mine");
  EXPECT_THROW(require_own_outputs(run_outputs(folder.path(), "")), ConfigError);
}

}  // namespace
}  // namespace evenkeel

#include "data/prepare.h"

#include <set>

#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/json_lines.h"
#include "data/indexed_dataset.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::vector<int32_t>> tokens_of(const fs::path& prefix) {
  const auto data = IndexedDataset::open(prefix);
  std::vector<int64_t> stream(static_cast<size_t>(data.n_tokens()));
  data.copy(0, data.n_tokens(), stream.data());
  std::vector<std::vector<int32_t>> out(static_cast<size_t>(data.n_documents()));
  for (int64_t i = 0; i < data.n_tokens(); ++i)
    out[static_cast<size_t>(data.document_of(i))].push_back(static_cast<int32_t>(stream[static_cast<size_t>(i)]));
  return out;
}

class PrepareTest : public testing::Test {
 protected:
  Json prepared(const std::string& name, const std::vector<fs::path>& inputs, const PrepareOptions& options = {}) {
    return prepare(*tokenizer_, inputs, folder_ / name, options).kept;
  }
  // Each document of a pair, decoded, without the end-of-document id.
  std::vector<std::string> texts_of(const std::string& name) {
    std::vector<std::string> out;
    for (auto ids : tokens_of(folder_ / name)) {
      EXPECT_EQ(ids.back(), 2);
      ids.pop_back();
      out.push_back(tokenizer_->decode(ids));
    }
    return out;
  }
  std::string files_of(const std::string& name) {
    std::string out;
    for (const char* suffix : {".bin", ".idx"}) out += read_file(folder_ / (name + suffix));
    return out;
  }
  fs::path text_file(const std::string& name, const std::vector<std::string>& documents) {
    return folder_.write(name, joined(documents, "\n\n"));
  }
  TemporaryFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_ = open_tokenizer(small_model());
};

// A tokenizer with a fault: an id outside its vocabulary, or an error, for one word.
class FaultyTokenizer final : public Tokenizer {
 public:
  explicit FaultyTokenizer(bool throws, std::set<std::string> pieces = {})
      : throws_(throws), pieces_(std::move(pieces)) {}
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    if (text.find("1100") == std::string_view::npos) return {1};
    if (throws_) fail<DataError>("text: got 1100; need another");
    return {1, 10};
  }
  std::vector<int32_t> encode_text(std::string_view text, bool) const override { return encode(text, false); }
  std::string decode(const std::vector<int32_t>&) const override { return ""; }
  std::string piece(int32_t) const override { return ""; }
  int64_t vocab_size() const override { return 10; }
  std::optional<int32_t> begin_of_document() const override { return std::nullopt; }
  std::optional<int32_t> end_of_document() const override { return std::nullopt; }
  std::optional<int32_t> id_of(std::string_view piece) const override {
    return pieces_.contains(std::string(piece)) ? std::optional(3) : std::nullopt;
  }
  std::string kind() const override { return "made tokenizer"; }
  std::string sha256() const override { return ""; }
  fs::path path() const override { return "faulty"; }

 private:
  bool throws_;
  std::set<std::string> pieces_;
};

TEST_F(PrepareTest, KeepsEveryDocumentInOrder) {
  const auto documents = made_documents(2500, 4);
  const std::vector<std::string> first(documents.begin(), documents.begin() + 1200);
  const std::vector<std::string> second(documents.begin() + 1200, documents.end());
  const std::vector<fs::path> inputs = {text_file("a.txt", first), text_file("b.txt", second)};
  const Json json = prepared("out/en", inputs);
  EXPECT_EQ(texts_of("out/en"), documents);
  EXPECT_EQ(Json::parse(read_file(folder_ / "out/en.json"), "en.json"), json);

  int64_t text_bytes = 0;
  for (const auto& document : documents) text_bytes += static_cast<int64_t>(document.size());
  EXPECT_EQ(json.at("format").as_string(), "evenkeel.data.v1");
  EXPECT_EQ(json.at("tokens").as_int(), IndexedDataset::open(folder_ / "out/en").n_tokens());
  EXPECT_EQ(json.at("documents").as_int(), 2500);
  EXPECT_EQ(json.at("bytes").as_int(), text_bytes);
  EXPECT_EQ(json.at("tokenizer_sha256").as_string(), sha256_file(small_model()));
  EXPECT_TRUE(fs::equivalent(folder_ / "out" / json.at("tokenizer").as_string(), small_model()));
  EXPECT_EQ(json.at("vocab_size").as_int(), 400);
  EXPECT_EQ(json.at("eod").as_int(), 2);
  EXPECT_EQ(json.at("inputs").size(), 2U);
  EXPECT_EQ(json.at("inputs").at(1).at("path").as_string(), inputs[1].string());
  EXPECT_EQ(json.at("inputs").at(1).at("bytes").as_int(), static_cast<int64_t>(fs::file_size(inputs[1])));
  EXPECT_EQ(json.at("inputs").at(1).at("sha256").as_string(), sha256_file(inputs[1]));
  EXPECT_EQ(IndexedDataset::open(folder_ / "out/en").text_bytes(), text_bytes);
}

TEST_F(PrepareTest, SaysWhatIsScoredOfConversations) {
  const auto input =
      folder_.write("in.jsonl", R"({"m": [{"from": "human", "value": "ka lo"}, {"from": "gpt", "value": "mi\r\ntan"}]}
{"m": [{"from": "gpt", "value": "vel"}]}
)");
  const PrepareOptions options{.messages_field = "m", .chat_template = "plain"};
  const Json json = prepared("talk", {input}, options);
  const auto data = IndexedDataset::open(folder_ / "talk");
  std::vector<uint8_t> scored(static_cast<size_t>(data.n_tokens()));
  data.checked_scored().copy(0, data.n_tokens(), scored.data());
  std::vector<int32_t> answers;
  size_t token = 0;
  for (const auto& ids : tokens_of(folder_ / "talk"))
    for (const int32_t id : ids)
      if (scored[token++] == 1) answers.push_back(id);
  EXPECT_EQ(tokenizer_->decode(answers), "mi\ntanvel");
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 2), 2);  // the end of each
  EXPECT_EQ(json.at("scored").at("tokens").as_int(), static_cast<int64_t>(answers.size()));
  EXPECT_EQ(json.at("scored").at("sha256").as_string(), sha256_file(folder_ / "talk.scored"));
  EXPECT_EQ(json.at("scored").at("template").as_string(), "plain");
  EXPECT_EQ(json.at("bytes").as_int(),
            6 + 5 + 12 + 6 + 11 + 3);  // "user:\nka lo\nassistant:\nmi\ntan", "assistant:\nvel"
  EXPECT_EQ(json.at("read").at("crlf_line_ends").as_int(), 1);

  prepared("talk", {text_file("a.txt", made_documents(3))});  // text over it: nothing is scored
  EXPECT_FALSE(fs::exists(folder_ / "talk.scored"));
  EXPECT_EQ(IndexedDataset::open(folder_ / "talk").scored(), nullptr);
}

TEST_F(PrepareTest, DoesNotDependOnTheThreads) {
  auto documents = made_documents(3000, 5);
  documents[7] = joined(made_documents(6000, 6), "\n");  // larger than a batch
  const auto input = text_file("a.txt", documents);
  const auto without_times = [](Json description) {
    description["contents"].erase("files");
    return description;
  };
  const Json one = without_times(prepared("one", {input}, {.holdout_fraction = 0.1, .n_threads = 1}));
  for (const int64_t n_threads : {2, 5}) {
    EXPECT_EQ(without_times(prepared("many", {input}, {.holdout_fraction = 0.1, .n_threads = n_threads})), one);
    EXPECT_EQ(files_of("many"), files_of("one"));
    EXPECT_EQ(files_of("many-heldout"), files_of("one-heldout"));
  }
}

TEST_F(PrepareTest, PutsTheTokenizersBosBeforeEachDocument) {
  const auto input = text_file("a.txt", made_documents(50, 7));
  const Json without = prepared("without", {input});
  const Json with = prepared("with", {input}, {.adds_bos = true});
  EXPECT_TRUE(without.at("bos").is_null());
  EXPECT_EQ(with.at("bos").as_int(), 1);
  EXPECT_EQ(with.at("tokens").as_int(), without.at("tokens").as_int() + 50);
  EXPECT_EQ(with.at("bytes").as_int(), without.at("bytes").as_int());
  auto expected = tokens_of(folder_ / "without");
  for (auto& ids : expected) ids.insert(ids.begin(), 1);
  EXPECT_EQ(tokens_of(folder_ / "with"), expected);
  EXPECT_THAT(message_of<DataError>(
                  [&] { prepare(FaultyTokenizer(false), {input}, folder_ / "d", {.eod = "none", .adds_bos = true}); }),
              HasSubstr("--bos: got faulty, whose files name no BOS token"));
}

// The bytes of a held-out part are those of its text, without the frame.
TEST_F(PrepareTest, CountsNoBytesOfTheFrameInHeldOutBlocks) {
  const auto input = text_file("a.txt", made_documents(60, 9, 400));
  for (const bool adds_bos : {false, true}) {
    const auto made = prepare(*tokenizer_, {input}, folder_ / "d", {.adds_bos = adds_bos, .holdout_fraction = 0.25});
    EXPECT_EQ(made.kept.at("bytes").as_int() + made.held_out.at("bytes").as_int(), made.read.n_text_bytes);
    const auto parts = tokens_of(folder_ / "d-heldout");
    int64_t n_bytes = 0;
    for (auto ids : parts) {
      std::erase_if(ids, [](int32_t id) { return id == 1 || id == 2; });
      n_bytes += static_cast<int64_t>(tokenizer_->decode(ids).size());
    }
    EXPECT_EQ(made.held_out.at("bytes").as_int(), n_bytes) << adds_bos;
  }
}

TEST_F(PrepareTest, ReadsJsonLinesAsTheSameText) {
  const auto documents = made_documents(50, 7);
  std::string lines;
  for (const auto& document : documents) {
    Json json = Json::object();
    json["body"] = document;
    lines += json.dump() + "\n";
  }
  prepared("txt", {text_file("a.txt", documents)});
  prepared("jsonl", {folder_.write("a.jsonl", lines)}, {.reader = {.text_field = "body"}});
  EXPECT_EQ(files_of("jsonl"), files_of("txt"));
}

TEST_F(PrepareTest, EndsDocumentsAsAsked) {
  const auto input = folder_.write("a.txt", "ka lo\n\nmi");
  const auto last_ids = [&](const std::string& eod) {
    const Json json = prepared("d", {input}, {.eod = eod});
    std::vector<int32_t> out;
    for (const auto& ids : tokens_of(folder_ / "d")) {
      out.push_back(ids.back());
      EXPECT_EQ(json.at("eod").is_null(), eod == "none");
    }
    return out;
  };
  EXPECT_THAT(last_ids(""), ElementsAre(2, 2));
  EXPECT_THAT(last_ids("<s>"), ElementsAre(1, 1));
  EXPECT_THAT(last_ids("17"), ElementsAre(17, 17));
  EXPECT_EQ(last_ids("none").size(), 2U);
  EXPECT_EQ(tokens_of(folder_ / "d")[1], tokenizer_->encode("mi", false));
  EXPECT_THAT(message_of<DataError>([&] { last_ids("400"); }), HasSubstr("--eod: got id 400; need 0..399"));
  EXPECT_THAT(message_of<DataError>([&] { last_ids("<|nothing|>"); }),
              HasSubstr("--eod: got '<|nothing|>', which is no piece"));
}

TEST_F(PrepareTest, HoldsOutDocumentsByTheirText) {
  auto documents = made_documents(4000, 8);
  for (size_t i = 0; i < 500; ++i) documents.push_back(documents[i]);  // a copy goes where the first went
  const auto input = text_file("a.txt", documents);
  const Json json = prepared("d", {input}, {.holdout_fraction = 0.2});
  const auto kept = texts_of("d");
  const auto held_out = texts_of("d-heldout");
  EXPECT_EQ(kept.size() + held_out.size(), documents.size());
  EXPECT_NEAR(static_cast<double>(held_out.size()) / 4500.0, 0.2, 0.03);  // five standard deviations of a binomial
  const std::set<std::string> kept_set(kept.begin(), kept.end());
  for (const auto& text : held_out) EXPECT_FALSE(kept_set.contains(text));

  const Json held_out_json = Json::parse(read_file(folder_ / "d-heldout.json"), "d-heldout.json");
  EXPECT_EQ(held_out_json.at("documents").as_int(), static_cast<int64_t>(held_out.size()));
  int64_t held_out_bytes = 0, all_bytes = 0;
  for (const auto& text : held_out) held_out_bytes += static_cast<int64_t>(text.size());
  for (const auto& text : documents) all_bytes += static_cast<int64_t>(text.size());
  EXPECT_EQ(held_out_json.at("bytes").as_int(), held_out_bytes);
  EXPECT_EQ(json.at("bytes").as_int(), all_bytes - held_out_bytes);

  prepared("other", {input}, {.holdout_fraction = 0.2, .seed = 2});
  EXPECT_NE(texts_of("other-heldout"), held_out);
}

TEST_F(PrepareTest, HoldsOutBlocksOfFewDocuments) {
  const auto documents = made_documents(60, 9, 400);
  const auto input = text_file("a.txt", documents);
  prepared("all", {input});
  const Json json = prepared("d", {input}, {.holdout_fraction = 0.25});
  const auto flat = [&](const std::string& name) {
    std::vector<int32_t> out;
    for (const auto& ids : tokens_of(folder_ / name)) out.insert(out.end(), ids.begin(), ids.end());
    return out;
  };
  // The blocks of the whole stream, each found whole at the front of what is left of one side.
  const auto all = flat("all"), kept = flat("d"), held_out = flat("d-heldout");
  ASSERT_EQ(kept.size() + held_out.size(), all.size());
  ASSERT_GT(all.size(), 20U * 4096U);
  size_t from_kept = 0, from_held_out = 0;
  for (size_t begin = 0; begin < all.size(); begin += 4096) {
    const size_t size = std::min<size_t>(4096, all.size() - begin);
    const auto is_next = [&](const std::vector<int32_t>& side, size_t at) {
      return at + size <= side.size() && std::equal(side.begin() + at, side.begin() + at + size, all.begin() + begin);
    };
    const bool is_held_out = is_next(held_out, from_held_out);
    ASSERT_NE(is_held_out, is_next(kept, from_kept)) << begin;
    (is_held_out ? from_held_out : from_kept) += size;
    if (begin <= 4096) {
      EXPECT_EQ(is_held_out, begin == 4096);
    }
  }
  EXPECT_NEAR(static_cast<double>(held_out.size()) / static_cast<double>(all.size()), 0.25,
              1.0 / 20);  // one block of 20

  // No byte of text is lost or counted twice, and each side's bytes are those of its tokens.
  int64_t text_bytes = 0;
  for (const auto& document : documents) text_bytes += static_cast<int64_t>(document.size());
  const int64_t held_out_bytes = IndexedDataset::open(folder_ / "d-heldout").text_bytes();
  EXPECT_EQ(json.at("bytes").as_int() + held_out_bytes, text_bytes);
  EXPECT_NEAR(static_cast<double>(held_out_bytes), static_cast<double>(tokenizer_->decode(held_out).size()), 60.0);
}

TEST_F(PrepareTest, LeavesSomethingOnBothSidesOfAShortText) {
  const auto input = folder_.write("a.txt", joined(made_documents(150, 2), "\n"));
  prepared("d", {input}, {.holdout_fraction = 0.01});
  EXPECT_GT(IndexedDataset::open(folder_ / "d").n_tokens(), 0);
  EXPECT_LE(IndexedDataset::open(folder_ / "d-heldout").n_tokens(), 4096);
  EXPECT_THAT(
      message_of<DataError>([&] { prepared("e", {folder_.write("b.txt", "ka lo")}, {.holdout_fraction = 0.5}); }),
      HasSubstr("--holdout: got 0.5, which leaves"));
}

TEST_F(PrepareTest, RefusesAndLeavesNothing) {
  const auto good = text_file("good.txt", made_documents(1200));
  const auto before = folder_.names();
  const auto refusal = [&](const std::vector<fs::path>& inputs, const PrepareOptions& options = {}) {
    return message_of<DataError>([&] { prepared("d", inputs, options); });
  };
  EXPECT_THAT(refusal({good, folder_ / "missing.txt"}), HasSubstr("missing.txt: got no such file"));
  const TemporaryFolder other;
  EXPECT_THAT(refusal({good, other.write("t.csv", "a")}), HasSubstr("t.csv: got suffix '.csv'"));
  EXPECT_THAT(refusal({good, other.write("t.parquet.gz", "PAR1")}), HasSubstr(".parquet.gz"));
  EXPECT_THAT(refusal({other.write("empty.txt", "\n\n")}), HasSubstr("empty.txt: got no documents in 1 input;"));
  EXPECT_THAT(refusal({good, other.write("bad.txt", "fine\n\nbad \xff")}),
              HasSubstr("bad.txt:3: got byte 0xff at byte 5"));
  EXPECT_THAT(refusal({good, other.write("bad.txt", "bad \xff")}, {.holdout_fraction = 0.1}),
              HasSubstr("bad.txt:1: got byte 0xff"));
  EXPECT_THAT(refusal({good, other.write("bad.jsonl", "{\"text\": 1}")}), HasSubstr("bad.jsonl:1: got integer"));
  EXPECT_THROW(prepared("d", {}), ConfigError);
  EXPECT_THROW(prepared("d", {good}, {.holdout_fraction = 1.0}), ConfigError);
  EXPECT_THROW(prepared("d", {good}, {.holdout_fraction = -0.1}), ConfigError);
  EXPECT_THROW(prepare(*tokenizer_, {good}, folder_ / "", {}), ConfigError);
  EXPECT_EQ(folder_.names(), before);
}

TEST_F(PrepareTest, RemovesWhatAKilledOneLeft) {
  const auto input = text_file("a.txt", made_documents(20, 4));
  const pid_t process = fork();
  if (process == 0) _exit(0);
  waitpid(process, nullptr, 0);
  const std::string dead = std::to_string(process);
  for (const char* name : {".evenkeel-en.bin.tmp", ".evenkeel-en.json.tmp", ".evenkeel-en-heldout.idx.tmp"})
    folder_.write(name + dead, "half");
  folder_.write(".evenkeel-de.bin.tmp" + dead, "another prefix");
  prepared("en", {input});
  EXPECT_THAT(folder_.names(),
              testing::UnorderedElementsAre("a.txt", ".evenkeel-de.bin.tmp" + dead, "en.bin", "en.idx", "en.json"));
}

// What was held out would be in the new pair: an evaluation on the old set would be one on training text.
TEST_F(PrepareTest, WithoutAHoldoutAnOldOneIsInTheWay) {
  const auto input = text_file("a.txt", made_documents(1200));
  prepared("en", {input}, {.holdout_fraction = 0.1});
  const std::string kept = files_of("en"), held_out = files_of("en-heldout");
  const std::string path = (folder_ / "en").string();
  EXPECT_EQ(message_of<ConfigError>([&] { prepared("en", {input}); }),
            "--holdout: got none, and " + path + "-heldout was held out of " + path +
                ", which would have its text now; need --holdout again, another --out, or " + path +
                "-heldout.* removed first");
  EXPECT_EQ(files_of("en"), kept);
  EXPECT_EQ(files_of("en-heldout"), held_out);
  prepared("en", {input}, {.holdout_fraction = 0.2});
  EXPECT_NE(files_of("en-heldout"), held_out);
  for (const char* suffix : {".bin", ".idx", ".json"}) fs::remove(path + "-heldout" + suffix);
  prepared("en", {input});
  EXPECT_THAT(folder_.names(), ElementsAre("a.txt", "en.bin", "en.idx", "en.json"));
}

TEST_F(PrepareTest, AFailureLeavesNoFolderThatItMade) {
  const auto bad = folder_.write("bad.txt", "bad \xff");
  fs::create_directory(folder_ / "old");
  EXPECT_THROW(prepared("new/deep/d", {bad}), DataError);
  EXPECT_THROW(prepared("old/new/d", {bad}), DataError);
  EXPECT_THAT(folder_.names(), ElementsAre("bad.txt", "old"));
  EXPECT_TRUE(fs::is_empty(folder_ / "old"));
  prepared("new/deep/d", {text_file("a.txt", made_documents(20))});
  EXPECT_TRUE(fs::exists(folder_ / "new/deep/d.json"));
}

TEST_F(PrepareTest, ASetOfThatNameThatIsNoHoldoutStays) {
  const auto input = text_file("a.txt", made_documents(1200)), other = text_file("b.txt", made_documents(30, 2));
  prepared("en", {input});
  prepared("en-heldout", {other});  // on its own, from other text
  prepared("en", {input});
  EXPECT_THAT(folder_.names(), ElementsAre("a.txt", "b.txt", "en-heldout.bin", "en-heldout.idx", "en-heldout.json",
                                           "en.bin", "en.idx", "en.json"));
  for (const char* content : {"{\"format\": \"another\"}", "text", "{\"format\": \"evenkeel.data.v1\"}"}) {
    folder_.write("en-heldout.json", content);
    prepared("en", {input});
    EXPECT_TRUE(fs::exists(folder_ / "en-heldout.bin")) << content;
  }
}

TEST_F(PrepareTest, ReplacesItsOwnPairAlone) {
  const auto input = text_file("a.txt", made_documents(1200)), other = text_file("b.txt", made_documents(900, 2));
  prepared("en", {input});
  const std::string first = files_of("en");
  EXPECT_EQ(prepared("en", {other}).at("documents").as_int(), 900);
  EXPECT_NE(files_of("en"), first);
  const auto refusal = [&](const PrepareOptions& options = {}) {
    return message_of<ConfigError>([&] { prepared("en", {input}, options); });
  };
  folder_.write("en-heldout.idx", "mine");
  const auto before = folder_.names();
  EXPECT_THAT(refusal({.holdout_fraction = 0.1}),
              HasSubstr("en-heldout.idx: got a file that evenkeel did not write as part of a pair"));
  fs::remove(folder_ / "en.json");  // as a pair of another program
  const std::string second = files_of("en");
  EXPECT_THAT(refusal(), HasSubstr("en.idx: got a file that evenkeel did not write as part of a pair"));
  EXPECT_EQ(files_of("en"), second);
}

// A kill between the renames leaves a description that says so: nobody reads the pair, and the next call makes it good.
TEST_F(PrepareTest, ATornPairIsRefusedAndReplaced) {
  const auto input = text_file("a.txt", made_documents(1200));
  folder_.write("en.bin", "half");
  folder_.write("en.json", R"({"format": "evenkeel.data.v1", "unfinished": true})");
  prepared("en", {input});
  EXPECT_EQ(texts_of("en").size(), 1200u);
  folder_.write("en.json", R"({"format": "evenkeel.data.v1", "unfinished": true})");
  EXPECT_THAT(message_of<DataError>([&] { IndexedDataset::open(folder_ / "en"); }),
              HasSubstr("did not finish; need it run again"));
}

TEST_F(PrepareTest, PassesOverDamagedLinesAndListsThem) {
  const auto input = folder_.write("a.jsonl", "{\"text\": \"ka\"}\noops\n{\"text\": \"lo\"}\n");
  const auto text = folder_.write("b.txt", "mi\n\nx\xff\n\nsu");
  EXPECT_THROW(prepared("d", {input, text}), DataError);
  const auto made = prepare(*tokenizer_, {input, text}, folder_ / "d", {.holdout_fraction = 0, .skips_bad = true});
  EXPECT_EQ(made.read.n_bad_lines, 2);
  EXPECT_EQ(made.read.n_documents, 4);
  const Json& read = made.kept.at("read");
  EXPECT_EQ(
      read.dump(),
      R"({"text_files":1,"json_files":1,"parquet_files":0,"documents":4,"text_bytes":8,"skipped_lines":2,"empty_records":0,)"
      R"("surrogates":0,"crlf_line_ends":0,"cr_line_ends":0,"zero_bytes":0,"uncut_files":0,)"
      R"("documents_without_tokens":0,"keeps_carriage_returns":false})");
  EXPECT_THAT(texts_of("d"), ElementsAre("ka", "lo", "mi", "su"));
  const auto lines = read_json_lines(folder_ / "d.skipped.jsonl");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].at("path").as_string(), input.string());
  EXPECT_EQ(lines[0].at("line").as_int(), 2);
  EXPECT_EQ(lines[0].at("byte").as_int(), 15);
  EXPECT_EQ(lines[1].at("line").as_int(), 3);
  EXPECT_THAT(lines[1].at("reason").as_string(), testing::StartsWith("got byte 0xff at byte 2"));

  // The list is of this call alone, and another's file is left alone.
  const auto good = folder_.write("good.txt", "ka");
  prepared("d", {good});
  EXPECT_FALSE(fs::exists(folder_ / "d.skipped.jsonl"));
  folder_.write("d.skipped.jsonl", "mine\n");
  EXPECT_THAT(message_of<ConfigError>([&] { prepared("d", {input}, {.skips_bad = true}); }),
              HasSubstr("d.skipped.jsonl: got a file that evenkeel did not write"));
  prepared("d", {good});
  EXPECT_EQ(read_file(folder_ / "d.skipped.jsonl"), "mine\n");
  EXPECT_THAT(message_of<ConfigError>([&] {
                prepared("e", {folder_.write("e.skipped.jsonl", "{\"text\": \"ka\"}")}, {.skips_bad = true});
              }),
              HasSubstr("got an output that is the input"));
  EXPECT_THAT(message_of<DataError>([&] { prepared("f", {folder_.write("f.jsonl", "oops\n")}, {.skips_bad = true}); }),
              HasSubstr("after passing over 1 damaged line;"));
  EXPECT_FALSE(fs::exists(folder_ / "f.skipped.jsonl"));
}

TEST_F(PrepareTest, CountsDamagedLinesOnceWithAHoldout) {
  const auto input = folder_.write("a.txt", "x\xff\n\n" + joined(made_documents(60, 9, 400), "\n\n"));
  EXPECT_EQ(
      prepare(*tokenizer_, {input}, folder_ / "d", {.holdout_fraction = 0.25, .skips_bad = true}).read.n_bad_lines, 1);
}

TEST_F(PrepareTest, DescribesTheHoldout) {
  const auto input = text_file("a.txt", made_documents(60, 9, 400));
  EXPECT_TRUE(prepared("d", {input}).at("holdout").is_null());
  const auto made = prepare(*tokenizer_, {input}, folder_ / "d", {.holdout_fraction = 0.25});
  EXPECT_EQ(made.holdout, Holdout::blocks);
  EXPECT_EQ(made.held_out.at("holdout").dump(), R"({"fraction":0.25,"by":"blocks"})");
  EXPECT_EQ(made.kept.at("input_documents").as_int(), 60);
  EXPECT_GT(made.kept.at("documents").as_int() + made.held_out.at("documents").as_int(), 60);
}

TEST_F(PrepareTest, PassesTheTokenizersFaultsOn) {
  const auto input = text_file("good.txt", made_documents(1200));
  const auto refusal = [&](bool throws, const std::string& eod) {
    return message_of<DataError>(
        [&] { prepare(FaultyTokenizer(throws), {input}, folder_ / "d", {.eod = eod, .n_threads = 3}); });
  };
  EXPECT_THAT(refusal(false, "none"), HasSubstr("got id 10 in document 1100; need 0..9"));
  EXPECT_THAT(refusal(true, "none"), HasSubstr("text: got 1100"));
  EXPECT_THAT(refusal(true, ""), testing::EndsWith("names no end-of-text token; need TOKEN, ID or none"));
  EXPECT_THAT(folder_.names(), ElementsAre("good.txt"));
}

// Files of published tokenizers often have an end-of-text token that nothing in them names as such.
TEST_F(PrepareTest, OffersTheEndOfTextTokensThatAreThere) {
  const auto input = folder_.write("a.txt", "ka lo");
  const auto refusal = [&](const std::set<std::string>& pieces) {
    return message_of<DataError>([&] { prepare(FaultyTokenizer(false, pieces), {input}, folder_ / "d", {}); });
  };
  EXPECT_THAT(refusal({"<|endoftext|>", "<s>"}),
              testing::EndsWith("need TOKEN, ID or none (--eod '<|endoftext|>' is there)"));
  EXPECT_THAT(refusal({"</s>", "<|eot_id|>"}), testing::EndsWith("(--eod '</s>' or '<|eot_id|>' is there)"));
}

}  // namespace
}  // namespace evenkeel::data

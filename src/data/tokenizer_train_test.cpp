#include "core/errors.h"
#include "core/json.h"
#include "core/output.h"
#include "data/test_support.h"
#include "data/tokenizer.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

class TrainTokenizer : public testing::Test {
 protected:
  std::string trained(const TokenizerTraining& options, const std::vector<fs::path>& inputs) {
    train_tokenizer(options, inputs, folder_ / "out.model");
    return read_file(folder_ / "out.model");
  }
  TemporaryFolder folder_;
  std::vector<std::string> documents_ = made_documents(300);
};

TEST_F(TrainTokenizer, GivesTheSameBytesAgainWhateverTheThreadsAndThePlace) {
  const auto text = folder_.write("a.txt", joined(documents_, "\n\n"));
  fs::copy(text, folder_ / "b.txt");
  for (const std::string kind : {"unigram", "bpe"}) {
    const std::string one = trained({.kind = kind, .vocab_size = 350, .n_threads = 1}, {text});
    EXPECT_EQ(trained({.kind = kind, .vocab_size = 350, .n_threads = 2}, {text}), one) << kind;
    EXPECT_EQ(trained({.kind = kind, .vocab_size = 350}, {folder_ / "b.txt"}), one) << kind;
  }
}

TEST_F(TrainTokenizer, ReadsJsonLinesAsTheirText) {
  std::string lines;
  for (const auto& document : documents_) {
    Json json = Json::object();
    json["text"] = document;
    lines += json.dump() + "\n";
  }
  const auto text = folder_.write("a.txt", joined(documents_, "\n"));
  EXPECT_EQ(trained({.vocab_size = 350}, {folder_.write("a.jsonl", lines)}), trained({.vocab_size = 350}, {text}));
}

TEST_F(TrainTokenizer, CutsLongLinesAndDoesNotDropThem) {
  // The only text is one line of 60 kB without a line end; a dropped line would leave nothing to learn.
  const auto text = folder_.write("a.txt", joined(made_documents(600, 3, 1), " "));
  trained({.vocab_size = 350}, {text});
  const auto tokenizer = open_tokenizer(folder_ / "out.model");
  EXPECT_EQ(tokenizer->vocab_size(), 350);
  const std::string unbroken(20'000, 'k');  // and one without any space
  const auto long_word = folder_.write("b.txt", unbroken + "\u00f6" + unbroken + "\n" + joined(documents_, "\n"));
  trained({.kind = "bpe", .vocab_size = 350}, {long_word});
  EXPECT_EQ(
      open_tokenizer(folder_ / "out.model")->decode(open_tokenizer(folder_ / "out.model")->encode(unbroken, false)),
      unbroken);
}

TEST_F(TrainTokenizer, SamplesTheSameSentences) {
  const auto text = folder_.write("a.txt", joined(documents_, "\n\n"));
  const TokenizerTraining sampled{.vocab_size = 320, .max_sentences = 150};
  const std::string one = trained(sampled, {text});
  EXPECT_EQ(trained(sampled, {text}), one);
  EXPECT_NE(trained({.vocab_size = 320}, {text}), one);
  EXPECT_EQ(trained({.vocab_size = 320, .max_sentences = 1'000'000}, {text}), trained({.vocab_size = 320}, {text}));
}

TEST_F(TrainTokenizer, ReplacesItsOwnAlone) {
  const auto text = folder_.write("a.txt", joined(documents_, "\n"));
  const Output out{folder_ / "out.model", OutputKind::tokenizer};
  for (const std::string kind : {"unigram", "bpe"}) {
    trained({.kind = kind, .vocab_size = 350}, {text});
    EXPECT_TRUE(is_own(out)) << kind;
  }
  const auto refused = [&](const fs::path& path) {
    return message_of<ConfigError>([&] { train_tokenizer({.vocab_size = 350}, {text}, path); });
  };
  const std::string own = read_file(out.path), other = "\x0a\x03\x0a\x01x" + own.substr(0, own.size() / 2);
  EXPECT_THAT(refused(folder_.write("other.model", other)),
              HasSubstr("other.model: got a file that evenkeel did not write as a tokenizer"));
  EXPECT_EQ(read_file(folder_ / "other.model"), other);
  EXPECT_THAT(refused(text), HasSubstr("a.txt: got an output that is the input"));
}

TEST_F(TrainTokenizer, SaysWhyItCannotAndLeavesNothing) {
  const auto text = folder_.write("a.txt", "only a few words\n");
  const auto refusal = [&](int64_t vocab_size, const std::string& kind) {
    const std::string message =
        message_of<DataError>([&] { trained({.kind = kind, .vocab_size = vocab_size}, {text}); });
    EXPECT_THAT(message, HasSubstr("--vocab-size: got " + std::to_string(vocab_size)));
    return message;
  };
  for (const std::string kind : {"unigram", "bpe"}) {
    EXPECT_THAT(refusal(50'000, kind), HasSubstr("Vocabulary size too high (50000)"));
    EXPECT_THAT(refusal(261, kind), HasSubstr("Vocabulary size is smaller than required_chars"));
    refusal(3, kind);
  }
  const auto empty = folder_.write("e.txt", "\n\n");
  EXPECT_THAT(message_of<DataError>([&] { trained({.vocab_size = 300}, {empty}); }),
              HasSubstr("e.txt: got no text in 1 input;"));
  EXPECT_THROW(trained({.kind = "word", .vocab_size = 300}, {text}), ConfigError);
  EXPECT_THROW(trained({.vocab_size = 0}, {text}), ConfigError);
  EXPECT_THROW(trained({.vocab_size = 300}, {folder_ / "none.txt"}), DataError);
  EXPECT_THROW(trained({.vocab_size = 300}, {folder_.write("bad.txt", "\xff\n")}), DataError);
  EXPECT_THAT(folder_.names(), testing::ElementsAre("a.txt", "bad.txt", "e.txt"));
}

}  // namespace
}  // namespace evenkeel::data

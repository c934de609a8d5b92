// What the tests of this folder share: a folder that goes away, made text, and a small tokenizer.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/file_io.h"
#include "core/rng.h"
#include "data/readers.h"
#include "data/tokenizer.h"

namespace evenkeel::data {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "evenkeel_data_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  fs::path write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }
  std::vector<std::string> names() const {  // sorted
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path_)) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  fs::path path_;
};

// The message of the error that `call` throws as an E; fails the test when it does not.
template <class E, class F>
std::string message_of(F&& call) {
  try {
    call();
  } catch (const E& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

// Sentences of made words, the same for the same seed; `n_documents` documents of a few lines each.
inline std::vector<std::string> made_documents(int64_t n_documents, uint64_t seed = 1, uint64_t most_lines = 4) {
  const std::vector<std::string> syllables = {"ka",  "lo", "mi", "ré", "su", "tan",
                                              "vel", "ös", "qu", "ny", "ba", "ter"};
  RngStream rng(seed, "made text");
  std::vector<std::string> out;
  for (int64_t i = 0; i < n_documents; ++i) {
    std::string text;
    for (uint64_t line = rng.below(most_lines) + 1; line > 0; --line) {
      for (uint64_t word = rng.below(8) + 3; word > 0; --word) {
        for (uint64_t part = rng.below(3) + 1; part > 0; --part) text += syllables[rng.below(syllables.size())];
        text += word > 1 ? " " : ".";
      }
      if (line > 1) text += "\n";
    }
    out.push_back(text + " " + std::to_string(i));
  }
  return out;
}

inline std::string joined(const std::vector<std::string>& documents, const std::string& separator) {
  std::string out;
  for (const auto& document : documents) out += document + separator;
  return out;
}

// A SentencePiece model trained on made text, once a process and kind.
inline fs::path small_model(const std::string& kind = "unigram") {
  static const TemporaryFolder folder;
  const fs::path path = folder / (kind + ".model");
  if (!fs::exists(path)) {
    const auto text = folder.write("text.txt", joined(made_documents(400), "\n\n"));
    train_tokenizer({.kind = kind, .vocab_size = 400}, {text}, path);
  }
  return path;
}

inline std::vector<std::string> documents_of(const fs::path& path, const ReaderOptions& options = {}) {
  std::vector<std::string> out;
  read_documents(path, options, [&](std::string&& text) { out.push_back(std::move(text)); }, {});
  return out;
}

}  // namespace evenkeel::data

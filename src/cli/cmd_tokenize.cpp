#include <iostream>

#include "cli/commands.h"
#include "core/errors.h"
#include "core/json.h"
#include "data/tokenizer.h"

namespace evenkeel::cli {
namespace {

std::vector<int32_t> encoded(const data::Tokenizer& tokenizer, const std::string& text, bool add_special,
                             const std::string& where) {
  try {
    return tokenizer.encode(text, add_special);
  } catch (const DataError& error) {
    fail<DataError>(where, ", ", error.what());
  }
}

// The next line, without its LF; false when nothing is left.
bool next_line(std::istream& in, std::string& line, int64_t number) {
  line.clear();
  for (int c = in.rdbuf()->sbumpc(); c != std::char_traits<char>::eof(); c = in.rdbuf()->sbumpc()) {
    if (c == '\n') return true;
    require<DataError>(line.size() < data::kMostDocumentBytes, "standard input, line ", number, ": got more than ",
                       data::kMostDocumentBytes, " bytes; need a shorter line");
    line += static_cast<char>(c);
  }
  return !line.empty();
}

std::string string_of(const std::string& line, const std::string& where) {
  const Json parsed = Json::parse(line, where);
  require<DataError>(parsed.is_string(), where, ": got ", parsed.kind(), "; need a JSON string");
  return parsed.as_string();
}

}  // namespace

int cmd_tokenize(Options& options) {
  std::string path;
  bool no_special = false, decodes = false, keeps_cr = false, are_strings = false;
  options.add("--tokenizer", path, "tokenizer.json, SentencePiece .model, ranks of tiktoken, or a folder that has one",
              true);
  options.flag("--no-special", no_special, "adds no BOS or EOS, whatever the tokenizer's files say");
  options.flag("--keep-cr", keeps_cr,
               "keep the CR of line ends CR LF as text (default: dropped, as prepare reads them)");
  options.flag("--strings", are_strings, "reads a JSON string a line, which may hold line ends");
  options.flag("--decode", decodes, "reads JSON arrays of ids, prints one JSON string a line");
  options.example("echo 'Hello world' | evenkeel tokenize --tokenizer tok.model");
  if (!options.parse()) return 0;
  const auto tokenizer = data::open_tokenizer(path);
  std::ios::sync_with_stdio(false);
  std::string line;
  for (int64_t number = 1; std::cout.good() && next_line(std::cin, line, number); ++number) {
    const std::string where = "standard input, line " + std::to_string(number);
    if (!decodes) {
      while (!keeps_cr && line.ends_with('\r')) line.pop_back();
      if (are_strings) line = string_of(line, where);
      const auto ids = encoded(*tokenizer, line, !no_special, where);
      Json out = Json::array();
      for (const int32_t id : ids) out.push_back(int64_t{id});
      std::cout << out.dump() << "\n";
      continue;
    }
    const Json parsed = Json::parse(line, where);
    require<DataError>(parsed.is_array(), where, ": got ", parsed.kind(), "; need a JSON array of ids");
    std::vector<int32_t> ids;
    for (const auto& id : parsed.as_array()) {
      require<DataError>(id.is_integer() && id.as_int() >= 0 && id.as_int() < tokenizer->vocab_size(), where, ": got ",
                         id.dump(), "; need ids 0..", tokenizer->vocab_size() - 1);
      ids.push_back(static_cast<int32_t>(id.as_int()));
    }
    std::cout << Json(tokenizer->decode(ids)).dump() << "\n";
  }
  return 0;
}

}  // namespace evenkeel::cli

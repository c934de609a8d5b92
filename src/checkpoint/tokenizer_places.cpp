#include "checkpoint/tokenizer_places.h"

#include <algorithm>

#include "checkpoint/origin.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "data/description.h"
#include "data/tokenizer.h"

namespace evenkeel::checkpoint {
namespace {

// Of the sets that the phases of a checkpoint drew from.
std::vector<std::string> described_tokenizers(const ModelSource& source) {
  std::vector<std::string> out;
  with_path_as<CheckpointError>(source.folder / "state.json", source.state, [&] {
    for (const auto& phase : source.state.at("phases").as_array())
      for (const auto& drawn_from : phase.at("sources").as_array()) {
        try {
          const auto file = data::described_tokenizer(drawn_from.at("path").as_string());
          if (!file.empty()) out.push_back(file);
        } catch (const DataError&) {
          continue;  // a description that is damaged by now says nothing of the model
        }
      }
  });
  return out;
}

// Of a checkpoint of an earlier version there are none.
std::vector<std::string> recorded_places(const ModelSource& source) {
  std::vector<std::string> out;
  with_path_as<CheckpointError>(source.folder / "state.json", source.state, [&] {
    const Json* upcycled = source.state.find(kUpcycledKey);
    const Json* files = upcycled != nullptr ? upcycled->find("tokenizer_files") : nullptr;
    if (files == nullptr) return;
    for (const auto& file : files->as_array()) out.push_back(file.as_string());
  });
  return out;
}

}  // namespace

std::vector<std::string> tokenizer_places(const ModelSource& source) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& file) {
    if (std::find(out.begin(), out.end(), file) == out.end()) out.push_back(file);
  };
  const fs::path folder = source.is_checkpoint() ? source.folder / kOriginName : source.folder;
  for (const auto& file : data::tokenizer_files(folder)) add(fs::absolute(file).lexically_normal().string());
  if (!source.is_checkpoint()) return out;
  for (const auto& file : described_tokenizers(source)) add(file);
  for (const auto& file : recorded_places(source)) add(file);
  return out;
}

std::string largest_tokenizer(const ModelSource& source) {
  const auto known = tokenizers_of(source);
  std::string out;
  int64_t most = 0;
  std::error_code ignored;
  for (const auto& file : tokenizer_places(source)) {
    if (!fs::is_regular_file(file, ignored)) continue;
    if (std::find(known.begin(), known.end(), sha256_file(file)) == known.end()) continue;
    try {
      const int64_t size = data::open_tokenizer(file)->vocab_size();
      if (size > most) out = file;
      most = std::max(most, size);
    } catch (const DataError&) {
      continue;  // of no kind that is known here
    }
  }
  return out;
}

}  // namespace evenkeel::checkpoint

// Data sets of given tokens, and objectives of given tables, for the tests of what is made of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/sha256.h"
#include "data/objectives/objective.h"
#include "support/files.h"

namespace evenkeel::testing {

// Returns the prefix.
inline std::string write_documents(const TemporaryFolder& folder, const std::string& name,
                                   const std::vector<std::vector<int32_t>>& documents, int64_t vocab_size = 60'000) {
  data::IndexedDatasetWriter writer(folder / name, vocab_size);
  for (const auto& document : documents) writer.add_document(document);
  writer.commit();
  return (folder / name).string();
}

// Tokens first, first + 1, ... in documents of equal length, the last one shorter.
inline std::vector<std::vector<int32_t>> counted_documents(int32_t n_tokens, int32_t document_tokens,
                                                           int32_t first = 0) {
  std::vector<std::vector<int32_t>> out;
  for (int32_t token = 0; token < n_tokens; ++token) {
    if (token % document_tokens == 0) out.emplace_back();
    out.back().push_back(first + token);
  }
  return out;
}

// With PREFIX.scored and a PREFIX.json that names it. `scored`: 1 or 0 of each token.
inline std::string write_conversations(const TemporaryFolder& folder, const std::string& name,
                                       const std::vector<std::vector<int32_t>>& documents,
                                       const std::vector<std::vector<uint8_t>>& scored) {
  const std::string prefix = write_documents(folder, name, documents);
  data::ScoredPartsWriter writer(prefix);
  int64_t n_tokens = 0;
  for (const auto& marks : scored) {
    writer.add(marks);
    n_tokens += static_cast<int64_t>(marks.size());
  }
  writer.finish();
  writer.commit();
  const Json description = Json::Object{{"format", "evenkeel.data.v1"},
                                        {"tokens", n_tokens},
                                        {"bytes", n_tokens},
                                        {"scored", Json::Object{{"sha256", writer.sha256()}}}};
  folder.write(name + ".json", description.dump());
  return prefix;
}

// Of a TOML table such as {kind = "ul2"}.
inline std::shared_ptr<const data::Objective> objective_of(const std::string& table,
                                                           const data::ObjectivePlace& place) {
  return data::make_objective(*parse_toml("objective = " + table, "r.toml", "").find("objective"), place);
}

}  // namespace evenkeel::testing

// Published routing counts (docs/analyses.md): how often each expert was chosen in a domain, in three shapes that are
// told apart by their keys, .json or compressed. Read event by event: memory is that of the counts, not of the text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace evenkeel::analysis {

// How often an expert was chosen at a token id.
struct IdCount {
  int32_t id = 0, expert = 0;
  int64_t count = 0;
  bool operator==(const IdCount&) const = default;
};

struct LayerCounts {
  int64_t layer = 0;
  std::vector<int64_t> assignments;    // [E]
  std::vector<int64_t> first_choices;  // [E]; empty where they are not published
  std::vector<IdCount> ids;            // by id, then expert; empty where they are not published
};

struct DomainCounts {
  std::string model, name, path;  // path: of the file
  int64_t n_experts = 0;
  int64_t top_k = 0, n_tokens = 0;  // 0 = unknown
  std::vector<LayerCounts> layers;  // as in the file
};

// The domains of a file. top_k > 0 says what a file does not; one that says otherwise is refused. DataError, one line
// that starts with the path, for what has none of the shapes, for more than 4,096 experts, for counts below 0 or of
// other sizes, for k above E, and for sums that disagree: tokens, assignments, or those of a token id between layers; k
// between domains; assignments that are not k times the tokens; an expert chosen more often than there are tokens.
std::vector<DomainCounts> read_count_file(const std::filesystem::path& path, int64_t top_k);

}  // namespace evenkeel::analysis

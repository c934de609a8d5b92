// Whether the figures of an evaluation follow from each other.
#pragma once

#include <string>

#include "record/run_lines.h"

namespace evenkeel::train {

// A held-out set's part of a line, and where that stands.
struct NamedResult {
  const std::string& data;
  const record::SetResult& result;
  const std::string& where;
};

// DataError "WHERE: got …" where the loss and its standard error are not those of the blocks, the perplexity is not
// that of the loss, or a standard error of an MRI cannot be. Of earlier versions the blocks and errors may be absent.
void check_evaluation(const NamedResult& set);

}  // namespace evenkeel::train

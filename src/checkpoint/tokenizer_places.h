// Where the files of a model's tokenizers lie.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/model_source.h"

namespace evenkeel::checkpoint {

// Where those of tokenizers_of() may lie, some no more: in the Hugging Face folder or in origin/ of the checkpoint,
// where the descriptions of the sets say that its phases drew from, and where those of the model lay that it was
// upcycled from. Absolute paths.
std::vector<std::string> tokenizer_places(const ModelSource& source);

// Of these the one with most pieces that is one of tokenizers_of(); "" where none is there.
std::string largest_tokenizer(const ModelSource& source);

}  // namespace evenkeel::checkpoint

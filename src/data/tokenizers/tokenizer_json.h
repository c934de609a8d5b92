// What a tokenizer.json says.
#pragma once

#include <string>

#include "core/json.h"
#include "data/tokenizers/text_encoder.h"

namespace evenkeel::data {

// The type of its "model"; older files name none, and it is told by their keys. JsonError.
std::string model_type(const Json& model);
// JsonError where it asks for what evenkeel lacks.
TextSteps read_text_steps(const Json& document);

}  // namespace evenkeel::data

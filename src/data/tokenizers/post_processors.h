// The post-processors of a tokenizer.json: the ids that stand before and after those of a text.
#pragma once

#include <cstdint>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {

struct TextFrame {
  std::vector<int32_t> before, after;
};

// null, one or a sequence. JsonError, which names the type where evenkeel lacks it. What a template says of pairs of
// texts is not read.
TextFrame read_post_processor(const Json& json);

}  // namespace evenkeel::data

// Base64 (RFC 4648), as tokenizer files have it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::data {

std::optional<std::string> from_base64(std::string_view text);  // none where it is not base64

}  // namespace evenkeel::data

// Text in little room, for a page that a browser opens: gzip, then base64.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::report {

std::string gzip_base64(std::string_view text);  // the same text gives the same bytes
// What was packed; none where it is something else, or of more than `most_bytes`.
std::optional<std::string> unpack_gzip_base64(std::string_view packed, size_t most_bytes);
std::string base64(std::string_view bytes);  // RFC 4648, padded, without line breaks

}  // namespace evenkeel::report

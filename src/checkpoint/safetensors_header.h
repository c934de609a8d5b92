// The JSON header of a safetensors file, read event by event: nothing is built but the entries, each value
// is checked as it arrives, and memory stays within a few times the header's own size.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/ScalarType.h>

namespace evenkeel::checkpoint {

struct SafetensorsHeader {
  struct Tensor {
    std::string name;
    at::ScalarType dtype = at::ScalarType::Undefined;
    std::vector<int64_t> shape;
    size_t begin = 0, end = 0;  // bytes from the start of the data
  };
  std::vector<Tensor> tensors;  // in the order of the text; begin <= end <= data_bytes, end - begin = size of shape
  std::map<std::string, std::string> metadata;
};

// CheckpointError, one line that starts with `where`, for anything that is no such header. Equal names and
// overlaps are left to the caller.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where, size_t data_bytes);

// The header as it is written: metadata, then the tensors in their order; padded with spaces to a multiple of 8
// bytes, or to `least_bytes` where that is more.
std::string safetensors_header_text(const SafetensorsHeader& header, size_t least_bytes = 0);

std::string shape_text(const std::vector<int64_t>& shape);  // "[4, 8]"
const char* dtype_name(at::ScalarType dtype);               // "BF16"; nullptr when safetensors cannot hold it
std::string shown_name(std::string_view name);              // quoted for an error message: printable, one line, short
bool is_plain_file_name(std::string_view name);             // not empty, no '/', no "..", no NUL: stays in its folder

}  // namespace evenkeel::checkpoint

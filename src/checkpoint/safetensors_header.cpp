#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::checkpoint {
namespace {

constexpr std::pair<const char*, at::ScalarType> kDtypes[] = {{"F64", at::kDouble},
                                                              {"F32", at::kFloat},
                                                              {"F16", at::kHalf},
                                                              {"BF16", at::kBFloat16},
                                                              {"I64", at::kLong},
                                                              {"I32", at::kInt},
                                                              {"I16", at::kShort},
                                                              {"I8", at::kChar},
                                                              {"U8", at::kByte},
                                                              {"BOOL", at::kBool},
                                                              {"F8_E4M3", at::kFloat8_e4m3fn},
                                                              {"F8_E8M0", at::kFloat8_e8m0fnu}};
constexpr size_t kMaxDims = 64;

// One place of the header: {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
enum class Place { before, root, metadata, tensor, shape, offsets, after };

class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& where, size_t data_bytes) : where_(where), data_bytes_(data_bytes) {}
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { fail_value("null"); }
  bool boolean(bool value) override { fail_value(value ? "true" : "false"); }
  bool number_float(number_float_t value, const string_t&) override { fail_value(join_parts(value)); }
  bool binary(binary_t&) override { fail_value("binary data"); }
  bool number_integer(number_integer_t value) override { fail_value(join_parts(value)); }  // the negative ones
  bool number_unsigned(number_unsigned_t value) override {
    if ((place_ != Place::shape && place_ != Place::offsets) || value > static_cast<uint64_t>(INT64_MAX))
      fail_value(join_parts(value));
    auto& numbers = place_ == Place::shape ? tensor_.shape : offsets_;
    require<CheckpointError>(numbers.size() < kMaxDims, context(), ": got more than ", kMaxDims,
                             " numbers; need fewer");
    numbers.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      require<CheckpointError>(header_.metadata.emplace(key_, std::move(value)).second, where_, ": metadata: got key ",
                               shown_name(key_), " twice; need it once");
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") fail_value(shown_name(value));
    for (const auto& [name, dtype] : kDtypes)
      if (value == name) tensor_.dtype = dtype;
    if (tensor_.dtype == at::ScalarType::Undefined) fail_value(shown_name(value));
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (place_ == Place::root) tensor_.name = key_;
    if (place_ == Place::tensor) mark_seen();
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::before) {
      place_ = Place::root;
    } else if (place_ != Place::root) {
      fail_value("an object");
    } else if (key_ == "__metadata__") {
      place_ = Place::metadata;
    } else {
      place_ = Place::tensor;
      tensor_ = {};
      tensor_.name = key_;
      offsets_.clear();
      seen_ = {};
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::tensor) finish_tensor();
    place_ = place_ == Place::root ? Place::after : Place::root;
    return true;
  }
  bool start_array(size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") fail_value("an array");
    place_ = key_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }
  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }
  bool parse_error(size_t position, const std::string& last_token, const nlohmann::detail::exception& error) override {
    if (dynamic_cast<const nlohmann::detail::out_of_range*>(&error) != nullptr) fail_value(last_token);  // 1e400
    fail<CheckpointError>(where_, ": got a header that is not JSON at its byte ", position,
                          "; need a safetensors header");
  }

 private:
  std::string context() const {
    if (place_ == Place::before) return where_ + ": header";
    if (place_ == Place::root) return where_ + ": tensor " + shown_name(key_);
    if (place_ == Place::metadata) return where_ + ": metadata " + shown_name(key_);
    return where_ + ": tensor " + shown_name(tensor_.name) + ": " + shown_name(key_);
  }

  [[noreturn]] void fail_value(const std::string& got) const {
    const char* wanted = "a list of whole numbers from 0";
    if (place_ == Place::before || place_ == Place::root) wanted = "an object";
    if (place_ == Place::metadata) wanted = "a string";
    if (place_ == Place::tensor && key_ == "dtype")
      wanted = "one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL F8_E4M3 F8_E8M0";
    fail<CheckpointError>(context(), ": got ", got, "; need ", wanted);
  }

  void mark_seen() {
    constexpr const char* kKeys[] = {"dtype", "shape", "data_offsets"};
    for (size_t i = 0; i < 3; ++i) {
      if (key_ != kKeys[i]) continue;
      require<CheckpointError>(!std::exchange(seen_[i], true), context(), ": got it twice; need it once");
      return;
    }
    fail<CheckpointError>(context(), ": got an unknown key; need dtype, shape and data_offsets");
  }

  // Every figure of the entry against the others and against the data that is there.
  void finish_tensor() {
    const std::string name = where_ + ": tensor " + shown_name(tensor_.name);
    require<CheckpointError>(seen_[0] && seen_[1] && seen_[2], name,
                             ": got an entry with a key missing; need dtype, shape and data_offsets");
    require<CheckpointError>(offsets_.size() == 2 && offsets_[0] <= offsets_[1], name, ": data_offsets: got ",
                             shape_text(offsets_), "; need [begin, end] with begin <= end");
    require<CheckpointError>(static_cast<uint64_t>(offsets_[1]) <= data_bytes_, name, ": data_offsets: got ",
                             shape_text(offsets_), "; need at most ", data_bytes_, ", the bytes of data in the file");
    const std::optional<int64_t> size_bytes = size_of(tensor_.shape, tensor_.dtype);
    require<CheckpointError>(size_bytes.has_value(), name, ": shape: got ", shape_text(tensor_.shape),
                             "; need a size below 2^63 bytes");
    require<CheckpointError>(*size_bytes == offsets_[1] - offsets_[0], name, ": data_offsets: got ",
                             offsets_[1] - offsets_[0], " bytes; need ", *size_bytes, " for shape ",
                             shape_text(tensor_.shape), " and dtype ", dtype_name(tensor_.dtype));
    tensor_.begin = static_cast<size_t>(offsets_[0]);
    tensor_.end = static_cast<size_t>(offsets_[1]);
    header_.tensors.push_back(std::move(tensor_));
  }

  // Empty when a product overflows; dims of 0 count as 1 there, since strides are products too.
  static std::optional<int64_t> size_of(const std::vector<int64_t>& shape, at::ScalarType dtype) {
    int64_t product = static_cast<int64_t>(c10::elementSize(dtype));
    for (const int64_t dim : shape)
      if (__builtin_mul_overflow(product, std::max<int64_t>(dim, 1), &product)) return std::nullopt;
    return std::find(shape.begin(), shape.end(), 0) == shape.end() ? product : 0;
  }

  const std::string& where_;
  size_t data_bytes_;
  Place place_ = Place::before;
  std::string key_;  // the last key read, of whatever object
  SafetensorsHeader::Tensor tensor_;
  std::vector<int64_t> offsets_;
  std::array<bool, 3> seen_{};
  SafetensorsHeader header_;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where, size_t data_bytes) {
  // The library takes a zero byte for the end of the text.
  const size_t zero = text.find('\0');
  require<CheckpointError>(zero == text.npos, where, ": got a zero byte in the header, at its byte ", zero + 1,
                           "; need a safetensors header");
  // Its lexer keeps a run of blanks, of which a header may have many at its ends.
  constexpr std::string_view kBlanks = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  text.remove_suffix(text.size() - std::min(text.find_last_not_of(kBlanks) + 1, text.size()));
  HeaderReader reader(where, data_bytes);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  return reader.take();
}

std::string safetensors_header_text(const SafetensorsHeader& header, size_t least_bytes) {
  Json::Object out;
  if (!header.metadata.empty()) {
    Json::Object pairs;
    for (const auto& [key, value] : header.metadata) pairs.emplace_back(key, value);
    out.emplace_back("__metadata__", std::move(pairs));
  }
  for (const auto& tensor : header.tensors) {
    Json entry = Json::object();
    entry["dtype"] = dtype_name(tensor.dtype);
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = std::vector<int64_t>{static_cast<int64_t>(tensor.begin), static_cast<int64_t>(tensor.end)};
    out.emplace_back(tensor.name, std::move(entry));
  }
  std::string text = Json(std::move(out)).dump();
  text.resize(std::max((text.size() + 7) / 8 * 8, least_bytes), ' ');
  return text;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string sizes;
  for (const int64_t size : shape) add_to_list(sizes, std::to_string(size));
  return "[" + sizes + "]";
}

const char* dtype_name(at::ScalarType dtype) {
  for (const auto& [name, known] : kDtypes)
    if (known == dtype) return name;
  return nullptr;
}

std::string shown_name(std::string_view name) {
  constexpr size_t kMostBytes = 120;
  size_t cut = std::min(name.size(), kMostBytes);
  while (cut < name.size() && cut > 0 && (static_cast<unsigned char>(name[cut]) & 0xc0) == 0x80) --cut;  // whole UTF-8
  std::string out = "'";
  for (const char c : name.substr(0, cut)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (cut < name.size() ? "...'" : "'");
}

bool is_plain_file_name(std::string_view name) {
  constexpr size_t kMostBytes = 255;  // of a file's name
  return !name.empty() && name.size() <= kMostBytes && name != "." && name.find('/') == name.npos &&
         name.find("..") == name.npos && name.find('\0') == name.npos;
}

}  // namespace evenkeel::checkpoint

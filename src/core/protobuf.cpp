#include "core/protobuf.h"

namespace evenkeel {
namespace {

std::optional<uint64_t> take_varint(std::string_view& text) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !text.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(text[0]);
    text.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> take_fixed(std::string_view& text, size_t size) {
  if (size > text.size()) return std::nullopt;
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(text[i]);
  text.remove_prefix(size);
  return value;
}

std::optional<uint64_t> take_value(std::string_view& text, uint64_t wire_type, std::string_view& bytes) {
  if (wire_type == 0) return take_varint(text);
  if (wire_type == 1) return take_fixed(text, 8);
  if (wire_type == 5) return take_fixed(text, 4);
  if (wire_type != 2) return std::nullopt;
  const auto size = take_varint(text);
  if (!size || *size > text.size()) return std::nullopt;
  bytes = text.substr(0, *size);
  text.remove_prefix(*size);
  return 0;
}

}  // namespace

std::optional<std::vector<ProtoField>> proto_fields(std::string_view message) {
  std::vector<ProtoField> out;
  while (!message.empty()) {
    const auto key = take_varint(message);
    if (!key) return std::nullopt;
    ProtoField field{*key >> 3, 0, {}};
    const auto value = take_value(message, *key & 7, field.bytes);
    if (!value) return std::nullopt;
    field.value = *value;
    out.push_back(field);
  }
  return out;
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

void put_fixed32(std::string& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xff);
}

void put_fixed64(std::string& out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(value >> shift & 0xff);
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

}  // namespace evenkeel

// The wire format of protocol buffers, as far as evenkeel reads and writes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel {

// A field of a message: a number, or the bytes of a text or of a message inside.
struct ProtoField {
  uint64_t number = 0;
  uint64_t value = 0;  // of a varint, or the bits of a field of 4 or 8 bytes
  std::string_view bytes;
};

// The fields of a message, in order. Nothing where it is damaged, or has groups, which nobody writes any more.
std::optional<std::vector<ProtoField>> proto_fields(std::string_view message);

void put_varint(std::string& out, uint64_t value);
void put_fixed32(std::string& out, uint32_t value);
void put_fixed64(std::string& out, uint64_t value);
void put_bytes(std::string& out, int field, std::string_view bytes);  // a text, or a message

}  // namespace evenkeel

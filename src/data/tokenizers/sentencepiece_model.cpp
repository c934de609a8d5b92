#include "data/tokenizers/sentencepiece_model.h"

#include <cstring>

#include "core/errors.h"
#include "core/protobuf.h"

namespace evenkeel::data {
namespace {

std::vector<ProtoField> fields_of(std::string_view message) {
  auto fields = proto_fields(message);
  require<DataError>(fields.has_value(), "got ", message.size(),
                     " bytes that are no message of a protocol buffer; need a SentencePiece model");
  return std::move(*fields);
}

SentencePiece read_piece(std::string_view message) {
  SentencePiece out;
  for (const auto& field : fields_of(message)) {
    if (field.number == 1) out.text = field.bytes;
    if (field.number == 2) {
      const auto bits = static_cast<uint32_t>(field.value);
      std::memcpy(&out.score, &bits, sizeof bits);
    }
    if (field.number == 3 && field.value >= 1 && field.value <= 6) out.type = static_cast<PieceType>(field.value);
  }
  return out;
}

void read_trainer(std::string_view message, SentencePieceModel& out) {
  for (const auto& field : fields_of(message)) {
    if (field.number == 3 && field.value >= 1 && field.value <= 4) out.type = static_cast<ModelType>(field.value);
    if (field.number == 24) out.adds_space_at_end = field.value != 0;
    if (field.number == 35) out.falls_back_to_bytes = field.value != 0;
  }
}

void read_normalizer(std::string_view message, SentencePieceModel& out) {
  for (const auto& field : fields_of(message)) {
    if (field.number == 2) out.map = field.bytes;
    if (field.number == 3) out.adds_space = field.value != 0;
    if (field.number == 4) out.removes_extra_spaces = field.value != 0;
    if (field.number == 5) out.escapes_spaces = field.value != 0;
  }
}

}  // namespace

SentencePieceModel read_sentencepiece(std::string_view model) {
  SentencePieceModel out;
  for (const auto& field : fields_of(model)) {
    if (field.number == 1) {
      out.pieces.push_back(read_piece(field.bytes));
      if (out.pieces.back().type == PieceType::unknown) out.unknown = static_cast<int32_t>(out.pieces.size()) - 1;
    }
    if (field.number == 2) read_trainer(field.bytes, out);
    if (field.number == 3) read_normalizer(field.bytes, out);
  }
  return out;
}

}  // namespace evenkeel::data

// What a SentencePiece .model says, as far as encoding follows it. The file is a protocol buffer, ModelProto of
// sentencepiece_model.proto.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::data {

enum class PieceType { normal = 1, unknown, control, user_defined, unused, byte };
enum class ModelType { unigram = 1, bpe, word, character };

struct SentencePiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::normal;
};

struct SentencePieceModel {
  std::vector<SentencePiece> pieces;  // by id
  int32_t unknown = -1;               // id of the piece of that type, -1: none
  ModelType type = ModelType::unigram;
  bool falls_back_to_bytes = false;
  // Normalization.
  std::string map;  // of characters, "": none
  bool adds_space = true;
  bool adds_space_at_end = false;  // in place of the start
  bool removes_extra_spaces = true;
  bool escapes_spaces = true;  // as U+2581
};

// DataError where it is no message, "got N bytes ...".
SentencePieceModel read_sentencepiece(std::string_view model);

}  // namespace evenkeel::data

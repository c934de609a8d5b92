#include "data/tokenizer.h"

#include <algorithm>
#include <utility>

#include <sentencepiece_processor.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace spm = sentencepiece;

// One line of a library's message.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(fs::path path) : path_(std::move(path)) {
    const std::string model = read_file(path_);
    const auto status = processor_.LoadFromSerializedProto(model);
    require<DataError>(status.ok() && processor_.GetPieceSize() > 0, path_.string(), ": got ", model.size(),
                       " bytes that are no SentencePiece model; need a .model file");
    sha256_ = sha256_hex(model);
    is_line_wise_ = encodes_line_by_line();
  }

  // A SentencePiece model file does not ask for BOS or EOS, so `add_special` changes nothing.
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    const size_t valid = valid_utf8_bytes(text);
    require<DataError>(valid == text.size(), "text: got ", quoted_excerpt(text.substr(valid)), " at byte ", valid,
                       ", which is no UTF-8; need UTF-8 text");
    if (!is_line_wise_) return encode_piece(text);
    std::vector<int32_t> ids;
    while (!text.empty()) {
      const size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
      const auto line_ids = encode_piece(text.substr(0, size));
      ids.insert(ids.end(), line_ids.begin(), line_ids.end());
      text.remove_prefix(size);
    }
    return ids;
  }

  std::string decode(const std::vector<int32_t>& ids) const override {
    for (const int32_t id : ids) check_id(id);
    std::string text;
    const auto status = processor_.Decode(ids, &text);
    require<DataError>(status.ok(), path_.string(), ": got '", one_line(status.ToString()), "' on decoding ", ids.size(),
                       " ids; need a model that can decode them");
    return text;
  }

  std::string piece(int32_t id) const override {
    constexpr std::string_view kSpace = "\u2581";  // SentencePiece's sign for it
    check_id(id);
    std::string text = processor_.IdToPiece(id);
    for (size_t at = text.find(kSpace); at != text.npos; at = text.find(kSpace, at + 1)) text.replace(at, kSpace.size(), " ");
    return text;
  }

  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::optional<int32_t> end_of_document() const override {
    const int id = processor_.eos_id();
    return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
  }
  std::optional<int32_t> id_of(std::string_view piece) const override {
    const int id = processor_.PieceToId(spm_view(piece));  // the unknown piece's id when there is no such piece
    const bool is_known = id >= 0 && id < vocab_size() && processor_.IdToPiece(id) == piece;
    return is_known ? std::optional<int32_t>(id) : std::nullopt;
  }
  std::string sha256() const override { return sha256_; }
  fs::path path() const override { return path_; }

 private:
  void check_id(int32_t id) const {
    require<DataError>(id >= 0 && id < vocab_size(), path_.string(), ": got id ", id, "; need 0..", vocab_size() - 1);
  }
  std::vector<int32_t> encode_piece(std::string_view text) const {
    std::vector<int32_t> ids;
    const auto status = processor_.Encode(spm_view(text), &ids);
    require<DataError>(status.ok(), path_.string(), ": got '", one_line(status.ToString()), "' on encoding ",
                       quoted_excerpt(text), "; need a model that can encode it");
    return ids;
  }
  // True when a document's ids are those of its lines one after the other: no piece spans a line end, and the
  // model adds or drops no space at the ends of a text. Line by line is several times as fast on long
  // documents, and more exact for unigram models: the library sums up scores in fp32, so that over a whole
  // book of 1 MB it takes another segmentation than the best at some tens of places.
  bool encodes_line_by_line() const {
    const auto line_end = id_of("\n");
    if (!line_end || encode_piece("\n") != std::vector<int32_t>{*line_end}) return false;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (id != *line_end && processor_.IdToPiece(id).find('\n') != std::string::npos) return false;
    }
    const std::string text = " a \n  \n a ";
    return processor_.DecodeIds(encode_piece(text)) == text && processor_.DecodeIds(encode_piece(" a ")) == " a ";
  }
  static absl::string_view spm_view(std::string_view text) { return {text.data(), text.size()}; }
  fs::path path_;
  spm::SentencePieceProcessor processor_;
  std::string sha256_;
  bool is_line_wise_ = false;
};

// tokenizer.model, or the only *.model of the folder.
fs::path model_in_folder(const fs::path& folder) {
  if (fs::is_regular_file(folder / "tokenizer.model")) return folder / "tokenizer.model";
  std::vector<fs::path> models;
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  require<MachineError>(!error, folder.string(), ": got '", error.message(), "' on listing; need it to succeed");
  for (const auto& entry : entries)
    if (entry.path().extension() == ".model" && entry.is_regular_file()) models.push_back(entry.path());
  require<DataError>(models.size() == 1, folder.string(), ": got ", models.size(),
                     " .model files and no tokenizer.model; need a folder with one SentencePiece model");
  return models.front();
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& path) {
  std::error_code ignored;  // what is wrong with the path shows when it is read
  return std::make_unique<SentencePieceTokenizer>(fs::is_directory(path, ignored) ? model_in_folder(path) : path);
}

}  // namespace evenkeel::data

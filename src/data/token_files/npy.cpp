// numpy's .npy, format 1.0 to 3.0 (numpy.lib.format): a magic, the version, the length of the header, the header, which
// is a dictionary of Python, and the array.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>

#include "core/errors.h"
#include "data/token_files/registry.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct NpyType {
  const char* descr;
  TokenType type;
};
constexpr NpyType kTypes[] = {{"|u1", TokenType::u8},
                              {"<u2", TokenType::u16},
                              {"<u4", TokenType::u32},
                              {"<i4", TokenType::i32},
                              {"<i8", TokenType::i64}};

struct NpyHeader {
  std::string descr;
  bool is_fortran_order = false;
  std::vector<int64_t> shape;
};

// {'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), } with its keys in any order, each once.
class HeaderText {
 public:
  HeaderText(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  NpyHeader read() {
    NpyHeader out;
    bool has_descr = false, has_order = false, has_shape = false;
    need("{");
    while (!take("}")) {
      const std::string key = string();
      need(":");
      if (key == "descr" && !has_descr) {
        has_descr = true;
        require<DataError>(next() == '\'' || next() == '"', where_,
                           ": got records of several fields, or an array in place of an id; need a list of ids");
        out.descr = string();
      } else if (key == "fortran_order" && !has_order) {
        has_order = true;
        out.is_fortran_order = take("True");
        if (!out.is_fortran_order) need("False");
      } else if (key == "shape" && !has_shape) {
        has_shape = true;
        out.shape = tuple();
      } else {
        fail_here();
      }
      if (!take(",")) {
        need("}");
        break;
      }
    }
    if (!has_descr || !has_order || !has_shape || next() != '\0') fail_here();
    return out;
  }

 private:
  [[noreturn]] void fail_here() const {
    fail<DataError>(where_, ": got a numpy header that is damaged at its character ", at_ + 1,
                    "; need a dictionary of descr, fortran_order and shape");
  }
  // The next character that is no space; a zero byte at the end.
  char next() {
    at_ = std::min(text_.find_first_not_of(" \n", at_), text_.size());
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(std::string_view token) {
    next();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void need(std::string_view token) {
    if (!take(token)) fail_here();
  }
  std::string string() {
    const char quote = next();
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : text_.npos;
    if (end == text_.npos) fail_here();
    const std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> out;
    need("(");
    while (!take(")")) {
      next();
      int64_t size = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) fail_here();
      at_ = static_cast<size_t>(end - text_.data());
      out.push_back(size);
      if (!take(",")) {
        need(")");
        break;
      }
    }
    return out;
  }

  std::string_view text_;
  std::string where_;
  size_t at_ = 0;
};

// Why a type of numpy's is none of ours.
std::string explained(const std::string& descr) {
  const char order = descr.empty() ? ' ' : descr[0], kind = descr.size() < 2 ? ' ' : descr[1];
  std::string out = "'" + descr + "'";
  if (order == '>') return out + " (big-endian)";
  if (kind == 'f') return out + " (floating-point)";
  return kind == 'O' ? out + " (objects of Python)" : out;
}

TokenType type_of(const NpyHeader& header, const std::string& where) {
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& each) { return header.descr == each.descr; });
  require<DataError>(found != std::end(kTypes), where, ": got ids of type ", explained(header.descr),
                     "; need little-endian ", token_type_names());
  return found->type;
}

// Offset of the array. The length of the header has 2 bytes in version 1 and 4 after it.
int64_t header_end(const TokenFileStart& file, const std::string& where) {
  constexpr int64_t kVersionEnd = 8;
  const auto size = static_cast<int64_t>(file.bytes.size());
  require<DataError>(size >= kVersionEnd, where, ": got ", size, " bytes; need a whole numpy header");
  const auto version = static_cast<unsigned char>(file.bytes[kMagic.size()]);
  require<DataError>(version >= 1 && version <= 3, where, ": got version ", static_cast<int>(version),
                     " of numpy's format; need 1 to 3");
  const int64_t length_bytes = version == 1 ? 2 : 4;
  uint32_t length = 0;
  require<DataError>(size >= kVersionEnd + length_bytes, where, ": got ", size, " bytes; need a whole numpy header");
  std::memcpy(&length, file.bytes.data() + kVersionEnd, static_cast<size_t>(length_bytes));
  const int64_t end = kVersionEnd + length_bytes + length;
  require<DataError>(end <= file.size_bytes && end <= kStartBytes, where, ": got a numpy header of ", length,
                     " bytes in a file of ", file.size_bytes, "; need a whole one, of less than ", kStartBytes);
  return end;
}

bool is_npy(std::string_view start) { return start.starts_with(kMagic); }

TokenLayout npy_layout(const TokenFileStart& file) {
  const std::string where = file.path.string();
  TokenLayout out;
  out.first_byte = header_end(file, where);
  const size_t text_begin = file.bytes[kMagic.size()] == 1 ? 10 : 12;
  const NpyHeader header =
      HeaderText(file.bytes.substr(text_begin, static_cast<size_t>(out.first_byte) - text_begin), where).read();
  out.type = type_of(header, where);
  require_type(file, out.type);
  const size_t n_dimensions = header.shape.size();
  require<DataError>(n_dimensions == 1 || n_dimensions == 2, where, ": got an array of ", n_dimensions,
                     " dimensions; need 1, or 2: windows and their ids");
  require<DataError>(n_dimensions == 1 || !header.is_fortran_order, where,
                     ": got a table in Fortran's order, column by column; need numpy.ascontiguousarray of it");
  out.n_tokens = header.shape[0];
  out.n_windows = n_dimensions == 2 ? header.shape[0] : 0;
  const bool is_too_large = n_dimensions == 2 && __builtin_mul_overflow(out.n_tokens, header.shape[1], &out.n_tokens);
  const int64_t room = file.size_bytes - out.first_byte;
  require<DataError>(!is_too_large && room % size_of(out.type) == 0 && out.n_tokens == room / size_of(out.type), where,
                     ": got ", room, " bytes behind the header; need ",
                     is_too_large ? "more than there can be" : "those of " + std::to_string(out.n_tokens), " ids of ",
                     name_of(out.type), ", which its shape says");
  return out;
}

// As numpy.save writes it, version 1.0: the dictionary, room for a list that grows to any length of 64 bits, and spaces
// up to a multiple of 64 bytes with the line end.
std::string npy_header(TokenType type, int64_t n_tokens, const std::string&) {
  constexpr size_t kMostDigits = 21, kAlignment = 64;
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& t) { return t.type == type; });
  const std::string count = std::to_string(n_tokens);
  std::string text =
      std::string("{'descr': '") + found->descr + "', 'fortran_order': False, 'shape': (" + count + ",), }";
  text += std::string(kMostDigits - count.size(), ' ');
  const size_t used = kMagic.size() + 4 + text.size() + 1;
  text += std::string(kAlignment - used % kAlignment, ' ') + "\n";
  const auto length = static_cast<uint16_t>(text.size());
  std::string out(kMagic);
  out += std::string("\1\0", 2);
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  return out + text;
}

}  // namespace

TokenFileKind npy_kind() {
  return {.name = "npy",
          .help = "a list of numpy, with its header",
          .suffix = ".npy",
          .mark = DocumentMark::ends,
          .is_kind = is_npy,
          .layout = npy_layout,
          .header = npy_header,
          .has_type = true};
}

}  // namespace evenkeel::data

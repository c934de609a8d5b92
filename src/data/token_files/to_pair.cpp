#include "data/token_files/to_pair.h"

#include <algorithm>
#include <future>
#include <map>

#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/output.h"
#include "core/sha256.h"
#include "core/units.h"
#include "data/description.h"
#include "data/indexed_dataset.h"
#include "data/pair_files.h"
#include "data/token_files/document_cutter.h"
#include "data/token_files/token_file.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kPieceTokens = int64_t{1} << 20;
constexpr int64_t kMostIds = int64_t{1} << 31;  // that a pair can hold

using Files = std::vector<TokenFile>;

// ---- what is asked for ----

// How documents are set apart: as asked, else as the writers of these kinds of files do.
DocumentMark mark_of(const Files& files, const ToPairOptions& options) {
  if (options.mark) {
    const bool is_none = *options.mark == DocumentMark::none;
    require<ConfigError>(is_none || options.eod, "--documents: got ", is_none ? "" : name_of(*options.mark),
                         " without an id; need --eod ID too");
    require<ConfigError>(!is_none || !options.eod, "--documents: got none beside --eod ", options.eod.value_or(0),
                         "; need ends or begins, or no --eod");
    return *options.mark;
  }
  if (!options.eod) return DocumentMark::none;
  const auto other = std::find_if(files.begin(), files.end(),
                                  [&](const TokenFile& file) { return file.kind().mark != files.front().kind().mark; });
  require<ConfigError>(other == files.end(), "--documents: got nothing for files of several trainers (",
                       files.front().path().string(), ", ", other == files.end() ? "" : other->path().string(),
                       "); need ends or begins: does --eod end or begin a document?");
  return files.front().kind().mark;
}

// The size of the vocabulary as far as it is known.
std::optional<int64_t> known_vocabulary(const ToPairOptions& options) {
  require<ConfigError>(!options.vocab_size || options.tokenizer == nullptr,
                       "--vocab-size: got one beside --tokenizer, which has its own; need one of the two");
  return options.tokenizer != nullptr ? options.tokenizer->vocab_size() : options.vocab_size;
}

// As many ids as the pair is written for.
int64_t vocabulary_for(const Files& files, const ToPairOptions& options) {
  const auto known = known_vocabulary(options);
  const IdBounds found = known ? IdBounds{} : bounds_of(files);
  if (!known && !found.are_within(0, kMostIds - 1))
    for (const auto& file : files) file.require_ids(0, file.n_tokens(), kMostIds);
  const int64_t vocabulary = known ? *known : found.largest + 1;
  require<ConfigError>(!options.eod || *options.eod < vocabulary, "--eod: got id ", options.eod.value_or(0),
                       "; need 0..", vocabulary - 1, known ? "" : ", the largest id in the inputs");
  return vocabulary;
}

void require_room(const std::vector<fs::path>& inputs, const fs::path& prefix, const ToPairOptions& options) {
  require_pair_name(prefix);
  const std::string suffix = prefix.extension().string();
  for (const char* taken : {".npy", ".bin", ".idx", ".json"})
    require<ConfigError>(suffix != taken, "--out: got '", prefix.string(),
                         "' for a pair of .bin and .idx; need its PREFIX, as in ",
                         fs::path(prefix).replace_extension().string());
  auto read = inputs;
  if (options.tokenizer != nullptr) read.push_back(options.tokenizer->path());
  require_own_outputs(pair_outputs(prefix), read);
  if (prefix.has_parent_path()) make_folders(prefix.parent_path());
  for (const auto& output : pair_outputs(prefix)) remove_temporaries_of(output.path);
}

Files open_files(const std::vector<fs::path>& inputs, const ToPairOptions& options) {
  require<ConfigError>(!inputs.empty(), "convert: got no input; need at least one file");
  Files out;
  out.reserve(inputs.size());
  for (const auto& path : inputs) out.emplace_back(path, options.dtype);
  return out;
}

// ---- the work ----

// One input after the other to the pair. Returns "inputs" of the description.
Json copy_files(const Files& files, int64_t vocabulary, DocumentCutter& cutter) {
  double total_bytes = 0, done_bytes = 0;
  for (const auto& file : files) total_bytes += static_cast<double>(file.bytes().size());
  Progress bar("converting tokens", total_bytes, "GB", 1e9);
  Json inputs = Json::array();
  std::vector<int32_t> ids;
  for (const auto& file : files) {
    Sha256 hash;
    hash.add(file.bytes().substr(0, static_cast<size_t>(file.layout().first_byte)));
    for (int64_t first = 0; first < file.n_tokens(); first += kPieceTokens) {
      const StoredIds piece = file.ids(first, std::min(kPieceTokens, file.n_tokens() - first));
      const auto piece_bytes = static_cast<size_t>(piece.count * size_of(piece.type));
      const auto hashed = std::async([&] { hash.add({reinterpret_cast<const char*>(piece.first), piece_bytes}); });
      file.require_ids(first, piece.count, vocabulary);
      ids.resize(static_cast<size_t>(piece.count));
      copy_ids(piece, ids.data());
      cutter.add(ids);
      hashed.wait();
      file.release(first, piece.count);
      done_bytes += static_cast<double>(piece_bytes);
      bar.update(done_bytes);
    }
    cutter.end_file();
    inputs.push_back(Json::Object{
        {"path", file.path().string()}, {"bytes", static_cast<int64_t>(file.bytes().size())}, {"sha256", hash.hex()}});
  }
  cutter.finish();
  bar.update(total_bytes);
  return inputs;
}

Json description_of(const IndexedDatasetWriter& writer, const fs::path& prefix, const ToPairOptions& options) {
  const Tokenizer* tokenizer = options.tokenizer;
  const auto vocabulary = known_vocabulary(options);
  Json out = Json::object();
  out["format"] = kDescriptionFormat;
  out["tokens"] = writer.n_tokens();
  out["documents"] = writer.n_documents();
  out["sequences"] = writer.n_sequences();
  out["bytes"] = Json();
  out["tokenizer"] = Json();
  out["tokenizer_sha256"] = Json();
  if (tokenizer != nullptr) {
    out["tokenizer"] = described_path(prefix, tokenizer->path());
    out["tokenizer_sha256"] = tokenizer->sha256();
  }
  out["vocab_size"] = vocabulary ? Json(*vocabulary) : Json();
  out["eod"] = options.eod ? Json(*options.eod) : Json();
  return out;
}

// ---- what is told ----

// "3 inputs: 2 of npy (u16), 1 of llmc (u16)"
std::string inputs_in_words(const Files& files) {
  std::map<std::string, int64_t> counts;
  for (const auto& file : files) ++counts[file.kind().name + std::string(" (") + name_of(file.layout().type) + ")"];
  std::string list;
  for (const auto& [kind, count] : counts) add_to_list(list, std::to_string(count) + " of " + kind);
  return counted(static_cast<int64_t>(files.size()), "input") + ": " + list;
}

std::string documents_in_words(DocumentMark mark, const ToPairOptions& options) {
  if (mark == DocumentMark::none) return "each input is one document (--eod ID cuts at an end-of-document id)";
  return std::string("each document ") + name_of(mark) + " with id " + std::to_string(*options.eod) +
         (options.mark ? "" : ", as such files have it (--documents says otherwise)");
}

std::vector<std::string> sentences_of(const Files& files, DocumentMark mark, const ToPairOptions& options,
                                      const DocumentCutter& cutter) {
  std::vector<std::string> out = {"read " + inputs_in_words(files)};
  int64_t n_tables = 0, n_windows = 0;
  for (const auto& file : files) {
    n_tables += file.layout().n_windows > 0;
    n_windows += file.layout().n_windows;
  }
  if (n_tables > 0)
    out.push_back(counted(n_tables, "input") + " with windows, " + std::to_string(n_windows) +
                  " in all: one after another, in their order");
  out.push_back(documents_in_words(mark, options));
  if (cutter.n_joined() > 0)
    out.push_back(counted(cutter.n_joined(), "input") +
                  " in the middle of a document: it goes on from the input before");
  if (options.tokenizer == nullptr) out.push_back("without --tokenizer the pair does not say whose ids they are");
  return out;
}

// Where the id stands at the other end of the stream, documents were taken apart one token too early or too late.
std::vector<std::string> warnings_of(const Files& files, DocumentMark mark, const ToPairOptions& options) {
  if (mark == DocumentMark::none) return {};
  const auto is_eod = [&](const TokenFile& file, int64_t token) {
    return bounds_of(file.ids(token, 1)).largest == *options.eod;
  };
  const auto has_ids = [](const TokenFile& file) { return file.n_tokens() > 0; };
  const TokenFile& front = *std::find_if(files.begin(), files.end(), has_ids);
  const TokenFile& back = *std::find_if(files.rbegin(), files.rend(), has_ids);
  const bool begins = is_eod(front, 0), ends = is_eod(back, back.n_tokens() - 1);
  const DocumentMark seen = begins == ends ? mark : begins ? DocumentMark::begins : DocumentMark::ends;
  if (seen == mark) return {};
  return {join_parts("the stream ", name_of(seen), " with id ", *options.eod, " and was cut as if each document ",
                     name_of(mark), " with it; is it --documents ", name_of(seen), "?")};
}

}  // namespace

Converted tokens_to_pair(const std::vector<fs::path>& inputs, const fs::path& prefix, const ToPairOptions& options) {
  // 1. Whatever can be refused before the work.
  const Files files = open_files(inputs, options);
  const DocumentMark mark = mark_of(files, options);
  require<DataError>(std::any_of(files.begin(), files.end(), [](const auto& file) { return file.n_tokens() > 0; }),
                     inputs.front().string(), ": got no tokens in ",
                     counted(static_cast<int64_t>(inputs.size()), "input"), "; need some");
  require_room(inputs, prefix, options);
  const int64_t vocabulary = vocabulary_for(files, options);

  // 2. The ids, under temporary names.
  IndexedDatasetWriter writer(prefix, vocabulary);
  DocumentCutter cutter(writer, mark, static_cast<int32_t>(options.eod.value_or(0)));
  Json read = copy_files(files, vocabulary, cutter);
  require<DataError>(mark == DocumentMark::none || cutter.n_marks() > 0, "--eod: got id ", options.eod.value_or(0),
                     ", which stands nowhere in the inputs; need the id that sets their documents apart, or no --eod");

  // 3. The files, all on the disk before an older one goes.
  Json description = description_of(writer, prefix, options);
  description["documents_by"] = name_of(mark);
  description["inputs"] = std::move(read);
  writer.finish();
  Converted out{put_in_place(prefix, {writer}, std::move(description)), sentences_of(files, mark, options, cutter),
                warnings_of(files, mark, options)};
  out.sentences.push_back(prefix.string() + ": " + human_count(static_cast<double>(writer.n_tokens())) + " tokens in " +
                          counted(writer.n_documents(), "document"));
  return out;
}

}  // namespace evenkeel::data

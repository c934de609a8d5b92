#include "data/token_files/from_pair.h"

#include <algorithm>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/output.h"
#include "data/indexed_dataset.h"

namespace evenkeel::data {
namespace {

constexpr int64_t kPieceTokens = int64_t{1} << 20;

// What is to be written, by its name or by the name of the file.
const TokenFileKind& wanted_kind(const fs::path& out, const std::string& to) {
  const auto& kinds = token_file_kinds();
  const std::string suffix = out.extension().string();
  std::string names;
  for (const auto& kind : kinds) {
    if (to.empty() ? !suffix.empty() && suffix == kind.suffix : to == kind.name) return kind;
    add_to_list(names, kind.name);
  }
  require<ConfigError>(to.empty(), "--to: got '", to, "'; need one of: ", names);
  fail<ConfigError>("--out: got '", out.string(),
                    "', whose name does not say which kind of file it is; need --to with ", "one of: ", names);
}

TokenType wanted_type(const TokenFileKind& kind, const FromPairOptions& options, const IndexedDataset& dataset) {
  if (options.dtype) return *options.dtype;
  require<ConfigError>(
      kind.has_type, "--to ", kind.name,
      ": got no --dtype, and such a file does not say the type of its ids; need one of: ", token_type_names());
  return type_for(dataset.contents().largest_id);
}

void require_fits(const IndexedDataset& dataset, int64_t first, const std::vector<int64_t>& ids, TokenType type) {
  const StoredIds stored{reinterpret_cast<const std::byte*>(ids.data()), TokenType::i64,
                         static_cast<int64_t>(ids.size())};
  if (bounds_of(stored).are_within(0, largest_of(type))) return;
  const PlacedId wrong = first_outside(stored, 0, largest_of(type));
  fail<DataError>(dataset.prefix().string(), ".bin: got id ", wrong.id, " at token ", first + wrong.index, "; need 0..",
                  largest_of(type), " for ids of ", name_of(type));
}

}  // namespace

WrittenTokens pair_to_tokens(const fs::path& prefix, const fs::path& out, const FromPairOptions& options) {
  const TokenFileKind& kind = wanted_kind(out, options.to);
  const auto input = [&](const char* suffix) { return fs::path(prefix.string() + suffix); };
  require_own_outputs({{out, OutputKind::tokens}}, {input(".bin"), input(".idx"), input(".json")});
  const auto dataset = IndexedDataset::open(prefix);
  const int64_t n_tokens = dataset.n_tokens();
  require<DataError>(n_tokens > 0, prefix.string(), ": got a pair without tokens; need some");
  const TokenType type = wanted_type(kind, options, dataset);
  const std::string header = kind.header(type, n_tokens, prefix.string());

  if (out.has_parent_path()) make_folders(out.parent_path());
  remove_temporaries_of(out);
  AtomicFile file(out);
  file.write(header);
  Progress bar("converting tokens", static_cast<double>(n_tokens), "tokens");
  std::vector<int64_t> ids;
  for (int64_t first = 0; first < n_tokens; first += kPieceTokens) {
    const int64_t count = std::min(kPieceTokens, n_tokens - first);
    ids.resize(static_cast<size_t>(count));
    dataset.copy(first, count, ids.data());
    require_fits(dataset, first, ids, type);
    file.write(stored(ids.data(), count, type));
    dataset.release(first, count);
    bar.update(static_cast<double>(first + count));
  }
  file.commit();
  return {&kind, type, n_tokens};
}

}  // namespace evenkeel::data

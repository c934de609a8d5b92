#include "data/pair_files.h"

#include <cerrno>

#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/description.h"

namespace evenkeel::data {

void require_pair_name(const fs::path& prefix) {
  const bool is_above = prefix.filename() == "." || prefix.filename() == "..";
  require<ConfigError>(prefix.has_filename() && !is_above && !fs::is_directory(prefix), "--out: got '", prefix.string(),
                       "'; need the start of a file name, as in data/en");
}

namespace {

// Of an earlier pair: no description would say whose it is.
void remove_scored(const fs::path& prefix) {
  const fs::path path = scored_path(prefix);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) fail_machine(path, "removing");
}

}  // namespace

// A description that stands beside other tokens would mislead. One that says that they are not finished stays while
// they are put there: it tells a pair that a kill has torn from one of another program.
Json put_in_place(const fs::path& prefix, const PairWriters& writers, Json description) {
  const auto part = [&](const char* suffix) { return fs::path(prefix.string() + suffix); };
  write_file_atomically(part(".json"),
                        Json(Json::Object{{"format", kDescriptionFormat}, {"unfinished", true}}).dump(2) + "\n");
  try {
    if (writers.scored == nullptr) remove_scored(prefix);
    writers.tokens.commit();
    if (writers.scored != nullptr) {
      writers.scored->commit();
      description["scored"]["sha256"] = writers.scored->sha256();
    }
    description["contents"] = IndexedDataset::open_tokens(prefix, writers.scored != nullptr).contents_record();
    write_file_atomically(part(".json"), description.dump(2) + "\n");
    return description;
  } catch (...) {
    std::error_code ignored;
    if (!fs::exists(part(".bin")) && !fs::exists(part(".idx"))) fs::remove(part(".json"), ignored);
    throw;
  }
}

}  // namespace evenkeel::data

// What a model of a Hugging Face folder brought along beside its weights: config.json, generation_config.json and the
// files of its tokenizer. A checkpoint keeps them in its folder origin/, and so do those of runs that begin from it, so
// that an export has them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evenkeel::checkpoint {

namespace fs = std::filesystem;

inline constexpr const char* kOriginName = "origin";

// The files of that kind in a folder, sorted.
std::vector<std::string> origin_names(const fs::path& folder);
// The folder that holds them for a MODEL argument: origin/ of a checkpoint, the Hugging Face folder itself. Empty where
// there are none.
fs::path origin_of(const fs::path& model);
// Puts them into origin/ of a checkpoint that is being written: links to files of another checkpoint, copies of others.
// `from` may be empty: there are none. `tokenizer`, a tokenizer.json or a SentencePiece model, takes the place of the
// pieces that the files have, where it is given; what names special tokens and templates stays.
void keep_origin(const fs::path& from, const fs::path& checkpoint, const fs::path& tokenizer = {});
// Before `tokenizer`, which has more pieces, takes the place of those in the files of an origin: DataError naming the
// file and the token where one of tokens that are added behind the old pieces (added_tokens_decoder of
// tokenizer_config.json, added_tokens.json) has the id of a new piece that is another text.
void require_free_ids(const fs::path& origin, const fs::path& tokenizer);

}  // namespace evenkeel::checkpoint

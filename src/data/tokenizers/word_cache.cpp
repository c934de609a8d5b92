#include "data/tokenizers/word_cache.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace evenkeel::data {

uint64_t hash_of_word(std::string_view word) { return XXH3_64bits(word.data(), word.size()); }

}  // namespace evenkeel::data

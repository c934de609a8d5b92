// The four normal forms of Unicode (UAX 15), as the `tokenizers` library computes them: with the data of Unicode 9, so
// that code points that are younger stay as they are.
#pragma once

#include <string>

namespace evenkeel::data {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// In place; text: valid UTF-8. Linear in its length.
void normalize(std::string& text, NormalForm form);

}  // namespace evenkeel::data

// Conversations whole, with a loss on what PREFIX.scored marks alone: the answers.
//
// A block of the stream owns the documents that begin in it; the last block of the file owns those behind it too, for
// which the places of its last documents are halved. A document is read beyond the end of its block. So each comes once
// an epoch, whatever the order of the blocks. One that begins before the cursor, which an earlier phase left inside of
// it, comes in the next epoch again.
#include <algorithm>

#include "core/errors.h"
#include "data/objectives/objective.h"

namespace evenkeel::data {
namespace {

// What a block of the stream owns: the documents that begin at first .. first+n_tokens-1 of the file. Each has a place
// in the block: that of its first token, but where the block owns more tokens than it has, twice as many of its last
// ones as are too many have every second place. Documents of two tokens or more so have places of their own.
class OwnedDocuments {
 public:
  OwnedDocuments(const TextStream& stream, int64_t block) : set_(stream.dataset()), n_places_(stream.block_tokens()) {
    first_ = block * n_places_;
    const bool is_last = block + 1 == stream.n_blocks();
    n_tokens_ = is_last ? set_.n_tokens() - first_ : n_places_;
    whole_ = n_places_ - (n_tokens_ - n_places_);
  }
  // The first one of two tokens or more at this place or behind it; none where there is none.
  std::optional<int64_t> from(int64_t place) const {
    const int64_t token = first_ + (place <= whole_ ? place : whole_ + 2 * (place - whole_));
    for (int64_t document = set_.first_document_from(token); document < set_.n_documents(); ++document) {
      if (set_.document_start(document) >= first_ + n_tokens_) break;
      if (set_.document_start(document + 1) - set_.document_start(document) >= 2) return document;
    }
    return std::nullopt;
  }
  int64_t place_behind(int64_t document) const {
    const int64_t token = set_.document_start(document + 1) - first_;
    if (token >= n_tokens_) return n_places_;
    return token <= whole_ ? token : whole_ + (token - whole_) / 2;
  }

 private:
  const IndexedDataset& set_;
  int64_t n_places_, first_, n_tokens_, whole_;
};

class Conversation : public Objective {
 public:
  explicit Conversation(int64_t sequence_length) : sequence_length_(sequence_length) {}
  int64_t text_tokens(const ExampleId&) const override { return sequence_length_; }  // the most
  std::optional<TextPiece> find_text(const ExampleId&, const TextStream& stream, int64_t position) const override {
    const int64_t block_tokens = stream.block_tokens();
    int64_t at = position;
    for (int64_t n_blocks = 0; n_blocks <= 2 * stream.n_blocks() && at < stream.end(); ++n_blocks) {
      const int64_t begin = at - at % block_tokens;
      const OwnedDocuments owned(stream, stream.block_of(at));
      while (const auto document = owned.from(at - begin)) {
        at = begin + owned.place_behind(*document);
        const int64_t n_tokens = scored_text(stream.dataset(), *document);
        if (n_tokens > 0)
          return TextPiece{.begin = position,
                           .end = at,
                           .n_tokens = n_tokens,
                           .in_file = stream.dataset().document_start(*document),
                           .length = n_tokens};
        if (at == begin + block_tokens) break;
      }
      at = begin + block_tokens;
    }
    return std::nullopt;
  }
  Example example(const ExampleId&, const Text& text) const override {
    Example out{.tokens = text.tokens, .targets = text.following};
    for (size_t i = 0; i < text.tokens.size(); ++i)
      if (text.scored[i] == 0) out.targets[i] = -1;
    return out;
  }
  bool packs() const override { return true; }
  bool needs_masks() const override { return true; }
  void check_set(const IndexedDataset& set, const std::string& where) const override {
    set.checked_scored();
    for (int64_t document = 0; document < set.n_documents(); ++document)
      if (scored_text(set, document) > 0) return;
    fail<DataError>(where, ": got ", set.prefix().string(), " with ", set.n_documents(),
                    " conversations, and in none of them a scored token behind the first, among the first ",
                    sequence_length_ + 1, "; need one at least (train.sequence_length + 1)");
  }
  std::string warning_of_set(const IndexedDataset& set) const override {
    int64_t n_passed = 0, n_cut = 0;
    for (int64_t document = 0; document < set.n_documents(); ++document) {
      const bool is_fed = scored_text(set, document) > 0;
      if (!is_fed) ++n_passed;
      if (is_fed && set.document_start(document + 1) - set.document_start(document) - 1 > sequence_length_) ++n_cut;
    }
    std::string found;
    if (n_passed > 0)
      found = join_parts(n_passed, " of ", set.n_documents(), " conversations have no scored token within ",
                         sequence_length_, " tokens and are passed over");
    if (n_cut > 0)
      add_to_list(found, join_parts(n_cut, " of ", set.n_documents(), " conversations are cut behind ",
                                    sequence_length_, " tokens"));
    return found.empty() ? "" : set.prefix().string() + ": " + found + " (train.sequence_length)";
  }
  Json options() const override { return Json::Object{{"kind", "conversation"}}; }

 private:
  // How many tokens of a document are fed, 0 where none of the following ones is scored. The last token is only asked
  // for.
  int64_t scored_text(const IndexedDataset& set, int64_t document) const {
    const int64_t first = set.document_start(document);
    const int64_t n_tokens = std::min(set.document_start(document + 1) - first - 1, sequence_length_);
    if (n_tokens < 1) return 0;
    std::vector<uint8_t> scored(static_cast<size_t>(n_tokens));
    set.scored()->copy(first + 1, n_tokens, scored.data());
    return std::find(scored.begin(), scored.end(), uint8_t{1}) != scored.end() ? n_tokens : 0;
  }
  int64_t sequence_length_;
};

struct ConversationOptions {
  static void visit_fields(auto&, auto&&) {}
};

std::unique_ptr<Objective> make(const ObjectivePlace& place, ConversationOptions, const ConfigNode&) {
  return std::make_unique<Conversation>(place.sequence_length);
}

}  // namespace

ObjectiveFactory conversation_objective() { return kind_factory(kObjectiveTable, make); }

}  // namespace evenkeel::data

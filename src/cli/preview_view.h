// What `evenkeel preview` says of a sequence: as JSON, and for people.
#pragma once

#include <cstdint>
#include <string>

#include "cli/token_texts.h"
#include "train/preview.h"

namespace evenkeel::cli {

Json sequence_json(const train::PreviewedSequence& sequence, const TokenTexts& texts);

// How standard output shows text: in colours on a terminal, unless NO_COLOR or TERM=dumb says otherwise, else with
// marks.
struct ViewForm {
  bool has_colours = false;
  int64_t columns = 100;
};
ViewForm form_of_output();

// What colours or marks mean, one line.
std::string view_legend(const ViewForm& form);

// A line of figures, then each example, or each document where these are kept apart, on lines of its own: what is fed,
// and what is scored where it is asked for. Ends with a line end. `number`: from 1.
std::string sequence_view(int64_t number, const train::PreviewedSequence& sequence, const TokenTexts& texts,
                          const ViewForm& form);

}  // namespace evenkeel::cli

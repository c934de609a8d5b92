// What the loader of a phase feeds first, in a run that begins anew. Nothing is trained and nothing is written.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "data/loader.h"
#include "train/inputs.h"

namespace evenkeel::train {

struct PreviewedSequence {
  std::string source;                   // as in metrics: "en", "replay/en"
  const data::Objective* objective;     // of that source; good as long as the preview
  const data::IndexedDataset* dataset;  // the source
  data::Batch batch;                    // of this one sequence
};

class Preview {
 public:
  // Of phase `index` of the recipe. The data of the phases up to it are opened, and refused as train refuses them. What
  // earlier phases draw is drawn, so that the cursors are those that the phase begins with; no text of theirs is read.
  // Interrupted where a signal stops that.
  Preview(const RunConfig& config, size_t index, InputData& data);
  // The next sequence, also beyond the end of the phase.
  PreviewedSequence next();

 private:
  struct Source {
    std::shared_ptr<const data::Objective> objective;
    const data::IndexedDataset* dataset;
  };
  std::unique_ptr<data::Loader> loader_;
  std::map<std::string, Source> sources_;  // by name
};

}  // namespace evenkeel::train

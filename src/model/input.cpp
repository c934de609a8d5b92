#include "model/input.h"

namespace evenkeel::model {

ModelInput input_of(const data::Batch& batch) {
  ModelInput out;
  out.tokens = batch.tokens;
  out.is_padding = batch.is_padding;
  out.document_ids = batch.document_ids;
  out.is_prefix = batch.is_prefix;
  return out;
}

}  // namespace evenkeel::model

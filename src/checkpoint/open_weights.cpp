#include "checkpoint/open_weights.h"

#include <ATen/ops/empty.h>

#include "checkpoint/families.h"
#include "checkpoint/safetensors.h"

namespace evenkeel::checkpoint {
namespace {

class CheckpointWeights : public model::StoredWeights {
 public:
  CheckpointWeights(const fs::path& path, const model::ModelConfig& config, const WeightsForm& form)
      : file_(path), tensors_(checked_tensors(file_, path, config)), form_(form) {}
  at::Device device() const override { return form_.device; }
  at::Tensor parameter(size_t index) const override {
    const auto& [name, dtype, shape] = tensors_.at(index);
    return made({name, shape}, [&](const RowBlock& block) { return file_.load_rows(name, block.first, block.count); });
  }
  at::Tensor expert(size_t index, int64_t expert) const override {
    const auto& [name, dtype, shape] = tensors_.at(index);
    return made({name, {shape.begin() + 1, shape.end()}},
                [&](const RowBlock& block) { return file_.load_inner_rows(name, expert, block.first, block.count); });
  }

 private:
  template <class Load>
  at::Tensor made(const Piece& piece, const Load& load) const {
    auto out = at::empty(piece.shape, at::TensorOptions().dtype(form_.dtype).device(at::kCPU));
    for_row_blocks(piece, [&](const RowBlock& block) { out.narrow(0, block.first, block.count).copy_(load(block)); });
    return out.to(form_.device);
  }

  SafetensorsFile file_;
  std::vector<TensorSpec> tensors_;
  WeightsForm form_;
};

class FolderWeights : public model::StoredWeights {
 public:
  FolderWeights(const fs::path& folder, const HfModel& model, const WeightsForm& form)
      : tensors_(folder, model), form_(form) {
    tensors_.check_values();
    log_notices(model, tensors_, folder);
  }
  at::Device device() const override { return form_.device; }
  at::Tensor parameter(size_t index) const override { return tensors_.parameter(index, form_.dtype).to(form_.device); }
  at::Tensor expert(size_t index, int64_t expert) const override {
    return tensors_.expert(index, expert, form_.dtype).to(form_.device);
  }

 private:
  HfTensors tensors_;
  WeightsForm form_;
};

}  // namespace

std::shared_ptr<const model::StoredWeights> open_weights(const ModelSource& source, const WeightsForm& form) {
  if (source.is_checkpoint())
    return std::make_shared<CheckpointWeights>(source.folder / "model.safetensors", source.config, form);
  return std::make_shared<FolderWeights>(source.folder, read_hf_config(source.folder), form);
}

}  // namespace evenkeel::checkpoint

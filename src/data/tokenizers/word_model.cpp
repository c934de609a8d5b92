#include "data/tokenizers/word_model.h"

#include <utility>

namespace evenkeel::data {

WorkspacePool::Lease WorkspacePool::lease() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto workspace = std::move(free_.back());
      free_.pop_back();
      return {*this, std::move(workspace)};
    }
  }
  return {*this, std::make_unique<Workspace>()};
}

WorkspacePool::Lease::~Lease() {
  constexpr size_t kMostKept = size_t{1} << 16;  // a long word's memory is not kept
  if (workspace_->symbols.capacity() > kMostKept) std::vector<Symbol>().swap(workspace_->symbols);
  if (workspace_->merges.capacity() > kMostKept) std::vector<uint64_t>().swap(workspace_->merges);
  if (workspace_->paths.capacity() > kMostKept) std::vector<BestPath>().swap(workspace_->paths);
  const std::lock_guard lock(pool_.mutex_);
  pool_.free_.push_back(std::move(workspace_));
}

}  // namespace evenkeel::data

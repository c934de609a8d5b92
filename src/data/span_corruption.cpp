#include "data/span_corruption.h"

namespace evenkeel::data {

InputsAndTargets corrupted(std::span<const int64_t> text, const std::vector<bool>& is_noise, int64_t first_sentinel) {
  InputsAndTargets out;
  int64_t input_sentinel = first_sentinel, target_sentinel = first_sentinel;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins = i == 0 || is_noise[i] != is_noise[i - 1];
    if (begins && is_noise[i]) out.inputs.push_back(input_sentinel--);
    if (begins && !is_noise[i]) out.targets.push_back(target_sentinel--);
    (is_noise[i] ? out.targets : out.inputs).push_back(text[i]);
  }
  return out;
}

Example decoder_example(const InputsAndTargets& pair, const DecoderFeed& feed) {
  const size_t n_inputs = pair.inputs.size();
  std::vector<int64_t> whole = pair.inputs;
  whole.insert(whole.end(), pair.targets.begin(), pair.targets.end());
  Example out;
  for (size_t i = 0; i < whole.size(); ++i) {
    out.tokens.push_back(i == 0 ? feed.bos : whole[i - 1]);
    out.targets.push_back(i < n_inputs ? -1 : whole[i]);
    if (feed.prefix_attention) out.is_prefix.push_back(i <= n_inputs);  // bos and the inputs
  }
  return out;
}

}  // namespace evenkeel::data

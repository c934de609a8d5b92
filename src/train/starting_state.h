// The state that a run or a phase begins with.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "train/run_setting.h"

namespace evenkeel::train {

// As initial_state; the tokens of the first phase are counted where the router asks for it.
TrainState first_state(const RunConfig& config, const RunSetting& setting);

// What `model.from` names, in words: "the checkpoint FOLDER, step 128", "the Hugging Face folder FOLDER, family llama,
// model.safetensors of 1.2 GiB".
std::string weights_words(const std::filesystem::path& from);

// Takes parameters, moments, router states and cursors from what the state's phase starts from. The run's own counters
// go on.
void load_start(const RunSetting& setting, TrainState& state);
// The part of it that is about data: what `other`, the state that the phase starts from, had drawn is what was drawn,
// and the phases that a start from outside brings along come before the run's own.
void take_draws(const PhaseStart& start, TrainState&& other, TrainState& state);

// The parameters and router states that the state's phase began with, on the device, for saturation. nullptr where the
// phase began with random weights, and, after a warning, where what it began with is gone.
std::unique_ptr<TrainState> state_at_start(const RunSetting& setting, const TrainState& state);

}  // namespace evenkeel::train

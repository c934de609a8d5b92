// A request to stop after the current step. Set by signal handlers, hence the one global of this folder.
#pragma once

namespace evenkeel::train {

void install_signal_handlers();  // SIGINT, SIGTERM: the first asks for a stop, the second ends at once with 130
bool stop_requested();

}  // namespace evenkeel::train

// The list of commands. To add one: cmd_x.cpp with `int cmd_x(Options&)`, and one line here.
#pragma once

#include "cli/options.h"

#define EVENKEEL_COMMANDS(X)                                                    \
  X(tokenizer, "train a SentencePiece tokenizer, or extend a tokenizer")        \
  X(tokenize, "lines of text to token ids, or back")                            \
  X(prepare, "text files to an indexed dataset (.bin/.idx)")                    \
  X(convert, "token files of other trainers to an indexed dataset, and back")   \
  X(keys, "every key of a recipe: type, unit, default, meaning")                \
  X(plan, "memory, time, epochs and disk of a recipe, before they are spent")   \
  X(preview, "what the loader of a phase feeds first: tokens, targets, text")   \
  X(train, "run a recipe: phases, schedules, replay, evaluation, checkpoints")  \
  X(import, "a Hugging Face folder to a checkpoint")                            \
  X(export, "a checkpoint to a Hugging Face folder")                            \
  X(upcycle, "a dense model to one of experts, or more experts to one")         \
  X(eval, "loss, perplexity and bits per byte of a model on held-out sets")     \
  X(trace, "what the routers do on given tokens, token by token, to a file")    \
  X(analyze, "what the routers do on data sets: tables, chance levels, a page") \
  X(study, "many arms of one experiment, in order, sharing what they share")    \
  X(report, "one self-contained page of a run or a study")                      \
  X(inspect, "what a file or folder is, its version, its shapes")               \
  X(verify, "re-hash and re-read a run or checkpoint")                          \
  X(bench, "time training steps of a recipe")

namespace evenkeel::cli {

#define X(name, summary) int cmd_##name(Options& options);
EVENKEEL_COMMANDS(X)
#undef X

}  // namespace evenkeel::cli

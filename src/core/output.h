// What evenkeel did not write it does not remove, replace or write through. One function decides for the outputs of all
// commands, by marks that evenkeel's own files bear (the table in output.cpp and in docs/formats.md).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel {

enum class OutputKind {
  pair,        // PREFIX.bin, .idx, .scored, .json
  skipped,     // PREFIX.skipped.jsonl
  tokens,      // a token file for another trainer: nothing in it can bear a mark, and none is replaced
  tokenizer,   // a SentencePiece .model, or a tokenizer.json
  page,        // report.html
  trace,       // .safetensors
  results,     // results.json
  speed,       // speed.json
  metrics,     // metrics.jsonl
  loads,       // load.columns
  log,         // log.txt
  lock,        // .lock
  events,      // TensorBoard
  table,       // csv/NAME.csv
  member,      // a file that only the folder around it says to be evenkeel's: recipe.toml, resolved.json
  subfolder,   // the same of a folder that is written into: checkpoints, csv, arms
  checkpoint,  // a folder that is replaced whole
  exported,    // the same, a Hugging Face folder
};

struct Output {
  std::filesystem::path path;
  OutputKind kind;
};

// ConfigError, one line, where one of `outputs` is there already and is no plain file or folder (a pipe, a device, a
// symbolic link), is one of `inputs` by device and inode or a folder above one, or lacks the mark of its kind. What
// is absent passes. Nothing is changed: every command calls it for all of its outputs before its work begins.
void require_own_outputs(const std::vector<Output>& outputs, const std::vector<std::filesystem::path>& inputs = {});

// The outputs of what is more than a file, as far as their names are known, in an order in which they may be removed:
// what says whose the others are comes last.
std::vector<Output> pair_outputs(const std::filesystem::path& prefix);
// `recipe` is the text that will stand in the file of that name: where it stands there already nothing is replaced.
std::vector<Output> run_outputs(const std::filesystem::path& run, std::string_view recipe);
// csv/TABLE.csv of each table that the results.json of the folder has; files of other names stay where they are.
std::vector<std::filesystem::path> tables_of_results(const std::filesystem::path& folder);
std::vector<Output> study_outputs(const std::filesystem::path& study, std::string_view recipe);  // without its arms
std::vector<Output> analysis_outputs(const std::filesystem::path& folder);

// Whether evenkeel wrote what is there, as far as the mark tells; false where nothing is.
bool is_own(const Output& output);
bool has_content(const std::filesystem::path& file, std::string_view content);
// "events.out.tfevents.0000000120.evenkeel": the part that other writers fill with a time and a host's name.
bool is_events_name(std::string_view name);

// What a .lock says, so that the folder around it is known for evenkeel's from its first file on.
inline constexpr std::string_view kFolderMark = "evenkeel\n";
// How a load.columns begins.
inline constexpr std::string_view kLoadsMark = "EVKLOAD1";

// What `tokenizer extend` puts into its files: this text in a field of a SentencePiece model, or under a key of the
// "model" of a tokenizer.json. The libraries pass over both.
inline constexpr std::string_view kExtendedMark = "evenkeel tokenizer extend";
inline constexpr int kExtendedField = 1000;
inline constexpr const char* kExtendedKey = "extended_by";

}  // namespace evenkeel

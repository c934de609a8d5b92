#include "report/check_page.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/json_difference.h"
#include "core/json_lines.h"
#include "core/version.h"
#include "report/compress.h"
#include "report/page.h"

namespace evenkeel::report {
namespace {

constexpr std::string_view kDataMark = "id=\"evenkeel-data\">", kSummaryMark = "<main id=\"content\" tabindex=\"-1\">";

// What stands between two marks; DataError where they are not there.
std::string_view between(std::string_view page, std::string_view begin, std::string_view end, const fs::path& path) {
  const size_t at = page.find(begin);
  const size_t from = at == page.npos ? page.npos : at + begin.size();
  const size_t to = from == page.npos ? page.npos : page.find(end, from);
  require<DataError>(to != page.npos, path.string(), ": got no page of evenkeel report; need the one of its folder");
  return page.substr(from, to - from);
}

std::string_view packed_data(std::string_view page, const fs::path& path) {
  return between(page, kDataMark, "<", path);
}

// As plain HTML, for who reads the page without its script.
std::string_view summary(std::string_view page, const fs::path& path) {
  return between(page, kSummaryMark, "</main>", path);
}

// The page without its data and its summary: the program's own part.
std::string frame(std::string_view page, const fs::path& path) {
  std::string_view first = summary(page, path), second = packed_data(page, path);
  if (second.data() < first.data()) std::swap(first, second);
  const auto begin_of = [&](std::string_view part) { return static_cast<size_t>(part.data() - page.data()); };
  const size_t end_of_first = begin_of(first) + first.size();
  if (begin_of(second) < end_of_first) return std::string(page);  // one within the other: no page of evenkeel
  return join_parts(page.substr(0, begin_of(first)), page.substr(end_of_first, begin_of(second) - end_of_first),
                    page.substr(begin_of(second) + second.size()));
}

// Where a text begins to differ: its line, from 1.
int64_t line_of_difference(std::string_view got, std::string_view needed) {
  const auto at = std::mismatch(got.begin(), got.end(), needed.begin(), needed.end()).first;
  return 1 + std::count(got.begin(), at, '\n');
}

Json without_definitions(Json data) {
  if (Json* results = data.find("results")) results->erase("definitions");
  return data;
}

}  // namespace

void check_page(const fs::path& folder) {
  const fs::path path = folder / "report.html";
  const std::string hint = ", which the files of " + folder.string() + " give ('evenkeel report' makes it anew)";
  require<DataError>(fs::exists(path), path.string(),
                     ": got no such file; need the page of a run or study that is "
                     "finished (its command with --resume writes it)");
  const std::string page = read_file(path), needed = make_page({folder});
  const bool is_own = is_of_this_version(read_json(folder / "results.json"));
  const std::string_view packed = packed_data(page, path), needed_packed = packed_data(needed, path);
  if (packed != needed_packed) {
    constexpr size_t kMostBytes = size_t{1} << 30;
    const auto needed_text = unpack_gzip_base64(needed_packed, kMostBytes);
    if (!needed_text) throw std::logic_error("check_page: a page that does not unpack");
    const auto text = unpack_gzip_base64(packed, 2 * needed_text->size() + 1024);
    require<DataError>(text.has_value(), path.string(), ": got data that do not unpack to those", hint);
    Json data = Json::parse(*text, path.string()), needed_data = Json::parse(*needed_text, "page");
    if (!is_own) {
      data = without_definitions(std::move(data));
      needed_data = without_definitions(std::move(needed_data));
    }
    const auto difference = first_difference(data, needed_data);
    require<DataError>(!difference, path.string(), ": ", difference.value_or(""), hint);
  }
  require<DataError>(summary(page, path) == summary(needed, path), path.string(), ": got other sentences; need those",
                     hint);
  if (!is_own) return;
  const std::string got_frame = frame(page, path), needed_frame = frame(needed, path);
  require<DataError>(got_frame == needed_frame, path.string(), ": got another text around the data and the sentences, ",
                     "from line ", line_of_difference(got_frame, needed_frame),
                     " of it on; need the one that this version of evenkeel writes ('evenkeel report' makes it anew)");
}

}  // namespace evenkeel::report

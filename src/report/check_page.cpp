#include "report/check_page.h"

#include <string>
#include <string_view>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/json_difference.h"
#include "report/compress.h"
#include "report/page.h"

namespace evenkeel::report {
namespace {

// What stands between two marks; DataError where they are not there.
std::string_view between(std::string_view page, std::string_view begin, std::string_view end, const fs::path& path) {
  const size_t at = page.find(begin);
  const size_t from = at == page.npos ? page.npos : at + begin.size();
  const size_t to = from == page.npos ? page.npos : page.find(end, from);
  require<DataError>(to != page.npos, path.string(), ": got no page of evenkeel report; need the one of its folder");
  return page.substr(from, to - from);
}

std::string_view packed_data(std::string_view page, const fs::path& path) {
  return between(page, "id=\"evenkeel-data\">", "<", path);
}

// As plain HTML, for who reads the page without its script.
std::string_view summary(std::string_view page, const fs::path& path) {
  return between(page, "<main id=\"content\" tabindex=\"-1\">", "</main>", path);
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
  const std::string_view packed = packed_data(page, path), needed_packed = packed_data(needed, path);
  if (packed != needed_packed) {
    constexpr size_t kMostBytes = size_t{1} << 30;
    const auto needed_text = unpack_gzip_base64(needed_packed, kMostBytes);
    if (!needed_text) throw std::logic_error("check_page: a page that does not unpack");
    const auto text = unpack_gzip_base64(packed, 2 * needed_text->size() + 1024);
    require<DataError>(text.has_value(), path.string(), ": got data that do not unpack to those", hint);
    const auto difference = first_difference(without_definitions(Json::parse(*text, path.string())),
                                             without_definitions(Json::parse(*needed_text, "page")));
    require<DataError>(!difference, path.string(), ": ", difference.value_or(""), hint);
  }
  require<DataError>(summary(page, path) == summary(needed, path), path.string(), ": got other sentences; need those",
                     hint);
}

}  // namespace evenkeel::report

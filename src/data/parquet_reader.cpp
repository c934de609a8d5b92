#include "data/parquet_reader.h"

#ifndef EVENKEEL_HAS_ARROW

#include "core/errors.h"

namespace evenkeel::data {
namespace {

[[noreturn]] void fail_without_arrow(const std::filesystem::path& path) {
  fail<ConfigError>(path.string(),
                    ": got a Parquet file, and this build of evenkeel has no Arrow to read it with; need a build with "
                    "the pyarrow package (scripts/build.sh installs it where it can), or JSON records one a line");
}

}  // namespace

std::string arrow_version() { return ""; }
void check_parquet(const std::filesystem::path& path) { fail_without_arrow(path); }
void read_parquet(DocumentSink& sink, const std::function<void(int64_t)>&) { fail_without_arrow(sink.path()); }

}  // namespace evenkeel::data

#else

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <arrow/util/config.h>
#include <arrow/memory_pool.h>
#include <parquet/column_reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/schema.h>

#include "core/errors.h"
#include "core/input_file.h"
#include "core/units.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatchRows = 1024;
constexpr int64_t kBufferBytes = INT64_C(1) << 18;  // of the file, read at once
constexpr size_t kMarkBytes = 4;                    // at the start and the end of a file
constexpr int64_t kFewestBytes = 12;                // both marks and the size of the metadata
constexpr int kMostShownColumns = 12;

// What the library throws at a damaged file becomes one line.
template <class F>
auto with_path(const fs::path& path, F&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    std::string what = error.what();
    std::replace_if(
        what.begin(), what.end(), [](unsigned char c) { return c < ' '; }, ' ');
    fail<DataError>(path.string(), ": got '", what, "'; need a whole Parquet file");
  }
}

std::unique_ptr<::parquet::ParquetFileReader> open_parquet(const fs::path& path) {
  check_parquet(path);
  // Memory comes from the program's own allocator. A column is read through a buffer, not a row group at once.
  ::parquet::ReaderProperties properties(::arrow::system_memory_pool());
  properties.enable_buffered_stream();
  properties.set_buffer_size(kBufferBytes);
  properties.set_page_checksum_verification(true);
  return with_path(
      path, [&] { return ::parquet::ParquetFileReader::OpenFile(path.string(), /*memory_map=*/false, properties); });
}

// ---- the column ----

using ::parquet::schema::GroupNode;
using ::parquet::schema::Node;
using ::parquet::schema::PrimitiveNode;

bool is_list(const Node& node) {
  return node.is_repeated() || node.logical_type()->is_list() ||
         node.converted_type() == ::parquet::ConvertedType::LIST;
}

// For a message: "a list", "a column of INT64".
std::string kind_of(const Node& node) {
  if (is_list(node)) return "a list";
  if (node.logical_type()->is_map()) return "a map";
  if (node.is_group()) return "a struct";
  const auto& logical = *node.logical_type();
  return "a column of " + (logical.is_none()
                               ? ::parquet::TypeToString(static_cast<const PrimitiveNode&>(node).physical_type())
                               : logical.ToString());
}

// Finds the node at a path: the longest name first, at each level.
class ColumnSearch {
 public:
  explicit ColumnSearch(std::string_view field) : field_(field) {}

  // nullptr: none. `rest` is what is left of the path.
  const Node* find(const GroupNode& group, std::string_view rest) {
    std::vector<const Node*> fields;
    for (int i = 0; i < group.field_count(); ++i) fields.push_back(group.field(i).get());
    std::stable_sort(fields.begin(), fields.end(),
                     [](const Node* a, const Node* b) { return a->name().size() > b->name().size(); });
    for (const Node* const node : fields) {
      const Node* const found = follow(*node, rest);
      if (found == nullptr) continue;
      const auto is_same = [&](const Node* other) { return other->name() == node->name(); };
      is_twice_ |= std::count_if(fields.begin(), fields.end(), is_same) > 1;
      return found;
    }
    return nullptr;
  }
  bool is_twice() const { return is_twice_; }
  const Node* obstacle() const { return obstacle_; }  // the first on the way that is no struct; nullptr: none
  std::string_view obstacle_path() const { return obstacle_path_; }

 private:
  const Node* follow(const Node& node, std::string_view rest) {
    const std::string& name = node.name();
    if (!rest.starts_with(name)) return nullptr;
    if (rest.size() == name.size()) return &node;
    if (rest[name.size()] != '.') return nullptr;
    rest.remove_prefix(name.size() + 1);
    if (node.is_group() && !is_list(node) && !node.logical_type()->is_map())
      return find(static_cast<const GroupNode&>(node), rest);
    if (obstacle_ == nullptr) {
      obstacle_ = &node;
      obstacle_path_ = field_.substr(0, field_.size() - rest.size() - 1);
    }
    return nullptr;
  }

  std::string_view field_;
  bool is_twice_ = false;
  const Node* obstacle_ = nullptr;
  std::string_view obstacle_path_;
};

std::string names_of_columns(const ::parquet::SchemaDescriptor& schema) {
  std::string out;
  for (int i = 0; i < std::min(schema.num_columns(), kMostShownColumns); ++i)
    add_to_list(out, quoted_excerpt(schema.Column(i)->path()->ToDotString()));
  return schema.num_columns() > kMostShownColumns ? out + " and others" : out;
}

bool has_text(const Node& node) {
  if (!node.is_primitive() || is_list(node)) return false;
  const auto& logical = *node.logical_type();
  return static_cast<const PrimitiveNode&>(node).physical_type() == ::parquet::Type::BYTE_ARRAY &&
         (logical.is_none() || logical.is_string() || logical.is_enum() || logical.is_JSON());
}

int find_column(const ::parquet::SchemaDescriptor& schema, const fs::path& path, const std::string& field) {
  ColumnSearch search(field);
  const Node* const node = search.find(*schema.group_node(), field);
  if (node == nullptr && search.obstacle() != nullptr)
    fail<DataError>(path.string(), ": got ", kind_of(*search.obstacle()), " in field '", search.obstacle_path(),
                    "'; need a struct there, for the text field '", field, "' (--text-field)");
  if (node == nullptr)
    fail<DataError>(path.string(), ": got columns ", names_of_columns(schema), "; need the text field '", field,
                    "' (--text-field)");
  require<DataError>(!search.is_twice(), path.string(), ": got the field '", field,
                     "' twice in the schema; need it once");
  if (!has_text(*node))
    fail<DataError>(path.string(), ": got ", kind_of(*node), " in field '", field,
                    "'; need a column of strings (--text-field)");
  for (int i = 0; i < schema.num_columns(); ++i)
    if (schema.Column(i)->schema_node().get() == node) return i;
  throw std::logic_error("a node of the schema is no column");
}

// ---- the rows ----

class ParquetColumn {
 public:
  ParquetColumn(DocumentSink& sink, const std::function<void(int64_t)>& progress)
      : sink_(sink), progress_(progress), file_(open_parquet(sink.path())), metadata_(file_->metadata()) {
    column_ = find_column(*metadata_->schema(), sink.path(), sink.options().text_field);
    most_level_ = metadata_->schema()->Column(column_)->max_definition_level();
    file_bytes_ = static_cast<double>(fs::file_size(sink.path()));
  }

  void read() {
    for (int i = 0; i < metadata_->num_row_groups(); ++i) read_row_group(i);
    if (progress_) progress_(static_cast<int64_t>(file_bytes_));
  }

 private:
  void read_row_group(int index) {
    std::shared_ptr<::parquet::ByteArrayReader> values;
    int64_t n_rows = 0;
    with_path(sink_.path(), [&] {
      const auto group = file_->RowGroup(index);
      n_rows = group->metadata()->num_rows();
      require<DataError>(group->metadata()->ColumnChunk(column_)->crypto_metadata() == nullptr, sink_.path().string(),
                         ": got an encrypted column '", sink_.options().text_field, "'; need it unencrypted");
      values = std::static_pointer_cast<::parquet::ByteArrayReader>(group->Column(column_));
    });
    int64_t n_read = 0;
    for (int64_t n = 0; (n = read_batch(*values)) > 0; n_read += n) report();
    require<DataError>(n_read == n_rows, sink_.path().string(), ": got ", n_read, " values in row group ", index,
                       "; need ", n_rows, ", its number of rows, in a whole Parquet file");
  }

  // The next rows, all of one page; how many they are, 0 at the end of the row group.
  int64_t read_batch(::parquet::ByteArrayReader& column) {
    int64_t n_values = 0;
    const int64_t n_rows = with_path(sink_.path(), [&] {
      if (!column.HasNext()) return INT64_C(0);
      return column.ReadBatch(kBatchRows, levels_.data(), nullptr, values_.data(), &n_values);
    });
    int64_t next = 0;
    for (int64_t i = 0; i < n_rows; ++i) {
      ++row_;
      if (most_level_ > 0 && levels_[static_cast<size_t>(i)] < most_level_) {
        ++sink_.summary().n_empty_records;  // null, or inside a null
        continue;
      }
      require<DataError>(next < n_values, sink_.where(row_), ": got no value; need a whole Parquet file");
      const auto& value = values_[static_cast<size_t>(next++)];
      give({reinterpret_cast<const char*>(value.ptr), value.len});
    }
    return n_rows;
  }

  void give(std::string_view text) {
    const auto check = [&] {
      if (text.size() > kMostDocumentBytes)
        fail<DataError>(sink_.where(row_), ": got a text of ", human_bytes(static_cast<double>(text.size())),
                        "; need at most ", human_bytes(kMostDocumentBytes), sink_.or_skip());
      sink_.check_utf8(text, row_);
    };
    if (!sink_.is_good(row_, 0, check)) return;
    if (text.empty()) ++sink_.summary().n_empty_records;
    sink_.give_with_line_ends(std::string(text));
  }

  void report() const {
    const auto n_rows = static_cast<double>(std::max<int64_t>(1, metadata_->num_rows()));
    if (progress_) progress_(static_cast<int64_t>(file_bytes_ * std::min(1.0, static_cast<double>(row_) / n_rows)));
  }

  DocumentSink& sink_;
  const std::function<void(int64_t)>& progress_;
  std::unique_ptr<::parquet::ParquetFileReader> file_;
  std::shared_ptr<::parquet::FileMetaData> metadata_;
  int column_ = 0;
  int16_t most_level_ = 0;  // of a row that has a value
  double file_bytes_ = 0;
  int64_t row_ = 0;  // from 1
  std::vector<int16_t> levels_ = std::vector<int16_t>(kBatchRows);
  std::vector<::parquet::ByteArray> values_ = std::vector<::parquet::ByteArray>(kBatchRows);
};

}  // namespace

std::string arrow_version() { return ARROW_VERSION_STRING; }

void check_parquet(const fs::path& path) {
  const InputFile file(path);
  char mark[kMarkBytes] = {};
  const int64_t size = file.size_bytes();
  const bool is_read = size >= kFewestBytes && file.read(size - static_cast<int64_t>(kMarkBytes), mark, kMarkBytes);
  const std::string_view end(mark, kMarkBytes);
  require<DataError>(end != "PARE", path.string(), ": got an encrypted Parquet file; need it unencrypted");
  require<DataError>(is_read && end == "PAR1", path.string(), ": got ", size,
                     " bytes that do not end as a Parquet file does; need a whole one");
}

void read_parquet(DocumentSink& sink, const std::function<void(int64_t)>& progress) {
  ParquetColumn(sink, progress).read();
}

}  // namespace evenkeel::data

#endif

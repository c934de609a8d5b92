#include "analysis/count_file.h"

#include <algorithm>
#include <charconv>
#include <istream>
#include <map>
#include <optional>
#include <set>

#include "core/counted.h"
#include "core/errors.h"
#include "core/json.h"
#include "data/readers.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kMostExperts = 4096, kMostIds = 1 << 24;  // beyond them a file is taken for damaged
constexpr int64_t kMostCount = INT64_C(1) << 50;
constexpr size_t kMostRows = 10'000;  // layers

using Rows = std::vector<std::vector<int64_t>>;

// A file as it says it, before it is checked.
struct RawCounts {
  std::optional<std::string> model, domain;
  std::optional<int64_t> n_experts, top_k;
  std::vector<int64_t> layers;
  bool has_layers = false, has_domains = false, has_counts = false, has_ids = false;
  std::vector<std::string> order;               // of the domains
  std::map<std::string, Rows> top_k_of, first;  // "topk" and "top1" of each
  Rows counts;
  std::vector<std::vector<IdCount>> ids;  // [layer]
};

// Follows the text by the path of keys and places; what no shape has is passed over.
class Reader : public JsonEvents {
 public:
  explicit Reader(std::string where) : where_(std::move(where)) {}
  RawCounts take() { return std::move(raw_); }

  void open_object() override { open(false); }
  void open_array() override { open(true); }
  void close_object() override { path_.pop_back(); }
  void close_array() override { path_.pop_back(); }
  void key(std::string&& name) override {
    path_.back().key = std::move(name);
    if (path_.size() == 1) note_shape(path_[0].key);
    if (path_.size() == 2 && top() == "domains") {
      require<DataError>(!raw_.top_k_of.contains(path_[1].key), where_, ": got the domain '", path_[1].key,
                         "' twice; need distinct names");
      raw_.order.push_back(path_[1].key);
      raw_.top_k_of[path_[1].key];
      raw_.first[path_[1].key];
    }
  }

  void value(Json&& plain) override {
    if (!path_.empty() && path_.back().is_array) ++path_.back().place;
    if (path_.empty()) fail<DataError>(where_, ": got ", plain.dump().substr(0, 80), "; need an object of counts");
    if (top() == "model" || top() == "domain") {
      if (path_.size() != 1 || !plain.is_string()) refuse(plain, "a string");
      (top() == "model" ? raw_.model : raw_.domain) = plain.as_string();
    } else if (top() == "n_experts" || top() == "top_k") {
      if (path_.size() != 1) refuse(plain, "a number");
      (top() == "n_experts" ? raw_.n_experts : raw_.top_k) = whole(plain, kMostExperts);
    } else if (top() == "layers") {
      if (path_.size() != 2 || !path_[1].is_array) refuse(plain, "a list of layers");
      raw_.layers.push_back(whole(plain, INT32_MAX));
    } else if (top() == "counts") {
      if (!is_row(1)) refuse(plain, "a list of counts a layer");
      raw_.counts.back().push_back(whole(plain, kMostCount));
    } else if (top() == "domains") {
      if (Rows* rows = rows_of_domain()) rows->back().push_back(whole(plain, kMostCount));
    } else if (top() == "layer_expert_token_counts") {
      add_id(plain);
    }
  }

 private:
  struct Frame {
    bool is_array = false;
    std::string key;     // of an object: the last one
    int64_t place = -1;  // of an array: the last one
  };

  void open(bool is_array) {
    if (path_.empty() && is_array) fail<DataError>(where_, ": got an array; need an object of counts");
    if (!path_.empty() && path_.back().is_array) ++path_.back().place;
    path_.push_back({is_array, "", -1});
    if (path_.size() < 2) return;
    const bool is_new_row =
        is_array && ((top() == "counts" && path_.size() == 3) || (top() == "domains" && path_.size() == 5));
    if (is_new_row && top() == "counts") add_row(raw_.counts);
    if (is_new_row && top() == "domains") {
      if (Rows* rows = rows_of_domain()) add_row(*rows);
    }
    if (top() == "layer_expert_token_counts" && path_.size() == 3) {
      require<DataError>(raw_.ids.size() < kMostRows, where_, ": ", at(), ": got more than ", kMostRows,
                         " layers; need fewer");
      raw_.ids.emplace_back();
      experts_.clear();
    }
    if (top() == "layer_expert_token_counts" && path_.size() == 4 && !is_array) {
      const int64_t expert = number_of(path_[2].key, kMostExperts, "an expert");
      require<DataError>(experts_.insert(expert).second, where_, ": ", at(), ": got expert ", expert,
                         " twice; need it once");
    }
  }

  void note_shape(const std::string& name) {
    for (const auto& [key, flag] :
         {std::pair("layers", &raw_.has_layers), std::pair("domains", &raw_.has_domains),
          std::pair("counts", &raw_.has_counts), std::pair("layer_expert_token_counts", &raw_.has_ids)}) {
      if (name != key) continue;
      require<DataError>(!*flag, where_, ": got '", name, "' twice; need it once");
      *flag = true;
    }
  }

  void add_row(Rows& rows) const {
    require<DataError>(rows.size() < kMostRows, where_, ": ", at(), ": got more than ", kMostRows,
                       " layers; need fewer");
    rows.emplace_back();
  }
  const std::string& top() const { return path_[0].key; }
  // [[E] per layer] that begins at this depth
  bool is_row(size_t depth) const {
    return path_.size() == depth + 2 && path_[depth].is_array && path_[depth + 1].is_array;
  }

  // domains.NAME.topk[layer][expert]; null for other keys of a domain.
  Rows* rows_of_domain() {
    const std::string& list = path_.size() > 2 ? path_[2].key : path_.back().key;
    if (path_.size() > 2 && list != "topk" && list != "top1") return nullptr;
    if (!is_row(3))
      fail<DataError>(where_, ": ", at(),
                      ": got another structure; need topk and top1 of each domain, a list of counts a layer");
    return &(list == "topk" ? raw_.top_k_of : raw_.first).at(path_[1].key);
  }

  // layer_expert_token_counts[layer].EXPERT.ID
  void add_id(const Json& plain) {
    if (path_.size() != 4 || !path_[1].is_array || path_[2].is_array || path_[3].is_array)
      refuse(plain, "{expert: {token id: count}} a layer");
    const int64_t id = number_of(path_[3].key, kMostIds, "a token id"),
                  expert = number_of(path_[2].key, kMostExperts, "an expert");
    raw_.ids.back().push_back({static_cast<int32_t>(id), static_cast<int32_t>(expert), whole(plain, kMostCount)});
  }

  int64_t whole(const Json& plain, int64_t most) const {
    const bool fits = plain.is_integer() && plain.as_int() >= 0 && plain.as_int() <= most;
    if (!fits)
      refuse(plain, join_parts("a whole number from 0 to ", most,
                               has_fraction(plain) ? ", written without a point or an exponent" : ""));
    return plain.as_int();
  }
  int64_t number_of(const std::string& text, int64_t most, const char* what) const {
    int64_t out = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    const bool fits = error == std::errc() && end == text.data() + text.size() && out >= 0 && out < most;
    if (!fits)
      fail<DataError>(where_, ": ", at(), ": got ", Json(text.substr(0, 40)).dump(), "; need ", what, " from 0 to ",
                      most - 1);
    return out;
  }
  [[noreturn]] void refuse(const Json& plain, const std::string& need) const {
    fail<DataError>(where_, ": ", at(), ": got ", plain.dump().substr(0, 80), "; need ", need);
  }

  // "domains.arxiv.topk[0][3]"
  std::string at() const {
    std::string out;
    for (const auto& frame : path_) {
      if (frame.is_array && frame.place >= 0) out += "[" + std::to_string(frame.place) + "]";
      if (!frame.is_array) out += (out.empty() ? "" : ".") + frame.key.substr(0, 60);
    }
    return out;
  }

  std::string where_;
  std::vector<Frame> path_;
  std::set<int64_t> experts_;  // of the layer that is read
  RawCounts raw_;
};

// Turns what was read into domains, and checks figures against each other.
class Checker {
 public:
  Checker(RawCounts raw, std::string where, int64_t top_k)
      : raw_(std::move(raw)), where_(std::move(where)), given_k_(top_k) {}

  std::vector<DomainCounts> domains() {
    require<DataError>(raw_.has_domains + raw_.has_counts + raw_.has_ids == 1, where_, ": got ",
                       raw_.has_domains + raw_.has_counts + raw_.has_ids,
                       " of the keys domains, counts and layer_expert_token_counts; need one of them");
    E_ = need(raw_.n_experts, "n_experts");
    require<DataError>(E_ >= 1, where_, ": n_experts: got 0; need at least 1");
    if (raw_.top_k) {
      require<DataError>(given_k_ == 0 || given_k_ == *raw_.top_k, where_, ": top_k: got ", *raw_.top_k, "; need ",
                         given_k_, " as --top-k says");
      given_k_ = *raw_.top_k;
      require<DataError>(given_k_ >= 1 && given_k_ <= E_, where_, ": top_k: got ", given_k_, "; need 1..", E_,
                         " (n_experts)");
    }
    require<DataError>(given_k_ <= E_, where_, ": got --top-k ", given_k_, "; need 1..", E_, " (n_experts)");
    model_ = need(raw_.model, "model");
    if (raw_.has_domains) return several();
    return {raw_.has_counts ? plain() : by_id()};
  }

 private:
  template <class T>
  const T& need(const std::optional<T>& value, const char* key) const {
    require<DataError>(value.has_value(), where_, ": got no '", key, "'; need it");
    return *value;
  }

  void add(int64_t& sum, int64_t count, const std::string& what) const {
    if (__builtin_add_overflow(sum, count, &sum))
      fail<DataError>(where_, ": ", what, ": got counts whose sum is above 2^63; need fewer");
  }
  int64_t sum_of(const std::vector<int64_t>& counts, const std::string& what) const {
    int64_t sum = 0;
    for (const int64_t count : counts) add(sum, count, what);
    return sum;
  }

  // The layers of `n_rows` rows: as the file names them.
  std::vector<int64_t> layer_ids(size_t n_rows, const std::string& what) const {
    require<DataError>(n_rows == raw_.layers.size(), where_, ": ", what, ": got ", n_rows, " layers; need the ",
                       raw_.layers.size(), " of 'layers'");
    const std::set<int64_t> distinct(raw_.layers.begin(), raw_.layers.end());
    require<DataError>(distinct.size() == raw_.layers.size() && n_rows > 0, where_, ": layers: got ", n_rows,
                       " layers of which ", distinct.size(), " are distinct; need distinct ones");
    return raw_.layers;
  }
  void check_row(const std::vector<int64_t>& row, const std::string& what) const {
    require<DataError>(static_cast<int64_t>(row.size()) == E_, where_, ": ", what, ": got ", row.size(),
                       " counts; need ", E_, " (n_experts)");
  }

  // Assignments of a layer against k and tokens; sets both where they are still unknown.
  void check_sums(DomainCounts& domain, const LayerCounts& layer, int64_t n_tokens) const {
    const std::string what = domain.name + ", layer " + std::to_string(layer.layer);
    const int64_t n = sum_of(layer.assignments, what);
    require<DataError>(n > 0, where_, ": ", what, ": got no assignment; need counts above 0");
    if (domain.top_k == 0 && n_tokens > 0) domain.top_k = n / n_tokens;
    if (domain.top_k == 0) {  // k and tokens are the same in every layer, whatever they are
      const int64_t need = sum_of(domain.layers[0].assignments, what);
      require<DataError>(n == need, where_, ": ", what, ": got ", n, " assignments; need ", need, " as in layer ",
                         domain.layers[0].layer);
      return;
    }
    if (n_tokens == 0) n_tokens = n / domain.top_k;
    require<DataError>(domain.top_k <= E_ && n % domain.top_k == 0 && n / domain.top_k == n_tokens, where_, ": ", what,
                       ": got ", n, " assignments of ", n_tokens, " tokens; need ",
                       domain.top_k > E_ ? join_parts("at most ", E_) : join_parts(domain.top_k), " a token");
    require<DataError>(domain.n_tokens == 0 || domain.n_tokens == n_tokens, where_, ": ", what, ": got ", n_tokens,
                       " tokens; need ", domain.n_tokens, " as in its other layers");
    domain.n_tokens = n_tokens;
    for (size_t e = 0; e < layer.assignments.size(); ++e)
      require<DataError>(
          layer.assignments[e] <= n_tokens &&
              (layer.first_choices.empty() || layer.first_choices[e] <= layer.assignments[e]),
          where_, ": ", what, ": got ", layer.assignments[e], " tokens of expert ", e,
          layer.first_choices.empty() ? "" : join_parts(", ", layer.first_choices[e], " as first choice"),
          "; need at most ", n_tokens, layer.first_choices.empty() ? "" : ", and no more first choices than tokens");
  }

  std::vector<DomainCounts> several() {
    std::vector<DomainCounts> out;
    for (const auto& name : raw_.order) {
      auto &all = raw_.top_k_of.at(name), &first = raw_.first.at(name);
      DomainCounts domain{model_, name, where_, E_, given_k_, 0, {}};
      const auto layers = layer_ids(all.size(), name + ".topk");
      layer_ids(first.size(), name + ".top1");
      for (size_t i = 0; i < layers.size(); ++i) {
        check_row(all[i], join_parts(name, ".topk[", i, "]"));
        check_row(first[i], join_parts(name, ".top1[", i, "]"));
        domain.layers.push_back({layers[i], std::move(all[i]), std::move(first[i]), {}});
        const int64_t n_tokens = sum_of(domain.layers.back().first_choices, name);
        require<DataError>(n_tokens > 0, where_, ": ", name, ".top1[", i, "]: got no token; need counts above 0");
        check_sums(domain, domain.layers.back(), n_tokens);
      }
      require<DataError>(out.empty() || domain.top_k == out[0].top_k, where_, ": ", name, ": got ", domain.top_k,
                         " experts a token; need ", out.empty() ? 0 : out[0].top_k, " as in ",
                         out.empty() ? "" : out[0].name);
      out.push_back(std::move(domain));
    }
    require<DataError>(!out.empty(), where_, ": domains: got none; need at least one");
    return out;
  }

  DomainCounts plain() {
    DomainCounts domain{model_, need(raw_.domain, "domain"), where_, E_, given_k_, 0, {}};
    require<DataError>(!raw_.counts.empty(), where_, ": counts: got no layer; need at least one");
    for (size_t i = 0; i < raw_.counts.size(); ++i) {
      check_row(raw_.counts[i], join_parts("counts[", i, "]"));
      domain.layers.push_back({static_cast<int64_t>(i), std::move(raw_.counts[i]), {}, {}});
      check_sums(domain, domain.layers.back(), 0);
    }
    return domain;
  }

  DomainCounts by_id() {
    DomainCounts domain{model_, need(raw_.domain, "domain"), where_, E_, need(raw_.top_k, "top_k"), 0, {}};
    const auto layers = layer_ids(raw_.ids.size(), "layer_expert_token_counts");
    for (size_t i = 0; i < layers.size(); ++i) {
      LayerCounts layer{layers[i], std::vector<int64_t>(static_cast<size_t>(E_), 0), {}, std::move(raw_.ids[i])};
      std::sort(layer.ids.begin(), layer.ids.end(), [](const IdCount& a, const IdCount& b) {
        return std::pair(a.id, a.expert) < std::pair(b.id, b.expert);
      });
      check_ids(layer, domain.top_k);
      if (i > 0) check_same_ids(domain.layers[0], layer);
      check_sums(domain, layer, 0);
      domain.layers.push_back(std::move(layer));
    }
    return domain;
  }

  // Adds the counts of ids up by expert; each id has k assignments an occurrence.
  void check_ids(LayerCounts& layer, int64_t top_k) const {
    const std::string name = "layer " + std::to_string(layer.layer);
    const auto what = [&](int64_t id) { return join_parts(where_, ": ", name, ", token id ", id); };
    for (size_t i = 0; i < layer.ids.size();) {
      const int32_t id = layer.ids[i].id;
      int64_t sum = 0, most = 0;
      for (int32_t last = -1; i < layer.ids.size() && layer.ids[i].id == id; last = layer.ids[i++].expert) {
        const auto& [same_id, expert, count] = layer.ids[i];
        if (expert >= E_ || expert == last)
          fail<DataError>(what(id), ": got expert ", expert, expert == last ? " twice" : "",
                          "; need different experts of 0..", E_ - 1);
        add(layer.assignments[static_cast<size_t>(expert)], count, name);
        add(sum, count, name);
        most = std::max(most, count);
      }
      if (sum % top_k != 0 || most > sum / top_k)
        fail<DataError>(what(id), ": got ", sum, " assignments, ", most, " of them to one expert; need ", top_k,
                        " a token, each to another expert");
    }
  }

  // Every layer saw the same tokens, so that an id has the same assignments in each.
  void check_same_ids(const LayerCounts& first, const LayerCounts& layer) const {
    const auto need = assignments_by_id(first), got = assignments_by_id(layer);
    const auto [a, b] = std::mismatch(need.begin(), need.end(), got.begin(), got.end());
    if (a == need.end() && b == got.end()) return;
    const int32_t id = std::min(a == need.end() ? INT32_MAX : a->id, b == got.end() ? INT32_MAX : b->id);
    fail<DataError>(where_, ": layer ", layer.layer, ", token id ", id, ": got ",
                    b != got.end() && b->id == id ? b->count : 0, " assignments; need ",
                    a != need.end() && a->id == id ? a->count : 0, " as in layer ", first.layer);
  }
  // Sums over experts, of those that are above 0.
  static std::vector<IdCount> assignments_by_id(const LayerCounts& layer) {
    std::vector<IdCount> out;
    for (const auto& [id, expert, count] : layer.ids) {
      if (count == 0) continue;
      if (out.empty() || out.back().id != id) out.push_back({id, 0, 0});
      out.back().count += count;
    }
    return out;
  }

  RawCounts raw_;
  std::string where_, model_;
  int64_t given_k_, E_ = 0;
};

// A possibly compressed file as a stream. Refuses what grows out of all proportion.
class SourceBuffer : public std::streambuf {
 public:
  explicit SourceBuffer(const std::filesystem::path& path)
      : where_(path.string()), source_(data::open_byte_source(path)), piece_(size_t{1} << 18, '\0') {}

 protected:
  int underflow() override {
    constexpr int64_t kFree = INT64_C(16) << 20, kMostRatio = 200;  // counts compress about fivefold
    const size_t n = source_->read(piece_.data(), piece_.size());
    n_read_ += static_cast<int64_t>(n);
    require<DataError>(n_read_ <= kFree + kMostRatio * source_->compressed_position(), where_, ": got ", n_read_,
                       " bytes out of ", source_->compressed_position(), "; need a file of counts");
    setg(piece_.data(), piece_.data(), piece_.data() + n);
    return n == 0 ? traits_type::eof() : traits_type::to_int_type(piece_[0]);
  }

 private:
  std::string where_;
  std::unique_ptr<data::ByteSource> source_;
  std::string piece_;
  int64_t n_read_ = 0;
};

}  // namespace

std::vector<DomainCounts> read_count_file(const std::filesystem::path& path, int64_t top_k) {
  SourceBuffer buffer(path);
  std::istream text(&buffer);
  text.exceptions(std::ios::badbit);  // what the source throws passes through
  Reader reader(path.string());
  read_json_events(text, path.string(), reader);
  return Checker(reader.take(), path.string(), top_k).domains();
}

}  // namespace evenkeel::analysis

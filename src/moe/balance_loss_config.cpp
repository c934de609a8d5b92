// [model.balance] of a recipe: which losses, with which coefficients and changes to their sources' settings.
#include "core/got_at.h"
#include "moe/balance_loss.h"

namespace evenkeel::moe {
namespace {

constexpr double kDefaultCoefficient = 0.01;  // of a loss that stands alone

constexpr Named<Counts> kCounts[] = {
    {"plain", Counts::plain}, {"first", Counts::first}, {"actual", Counts::actual}, {"kept", Counts::kept}};
constexpr Named<LayerReduction> kLayerReductions[] = {
    {"sum", LayerReduction::sum}, {"mean", LayerReduction::mean}, {"concatenated", LayerReduction::concatenated}};
constexpr Named<ZReduction> kZReductions[] = {{"sum", ZReduction::sum}, {"mean", ZReduction::mean}};

}  // namespace

std::span<const Named<Counts>> names_of(Counts) { return kCounts; }
std::span<const Named<LayerReduction>> names_of(LayerReduction) { return kLayerReductions; }
std::span<const Named<ZReduction>> names_of(ZReduction) { return kZReductions; }

namespace {
const BalanceLossKind* find_kind(const std::string& name) {
  for (const auto& kind : balance_loss_kinds())
    if (name == kind.name) return &kind;
  return nullptr;
}
}  // namespace

BalanceLossName::BalanceLossName(const std::string& name) : kind_(find_kind(name)) {
  if (kind_ == nullptr) throw std::logic_error("no balance loss is named '" + name + "'");
}

const BalanceLossKind& BalanceLossName::kind() const {
  if (kind_ == nullptr) throw std::logic_error("a balance term without a loss");
  return *kind_;
}

std::string BalanceLossName::text() const { return kind_ != nullptr ? kind_->name : ""; }

void read_value(const ConfigNode& node, const std::string& path, BalanceLossName& out) {
  std::string name, known;
  evenkeel::read_value(node, path, name);
  for (const auto& kind : balance_loss_kinds()) add_to_list(known, kind.name);
  require<ConfigError>(find_kind(name) != nullptr, got_at(node.where, path), "'", name, "'; need one of: ", known);
  out = name;
}

Json to_json(const BalanceLossName& name) { return name.text(); }

namespace {

struct ZTerm {
  double z_coefficient = 0.0;
  ZReduction z_reduce = ZReduction::sum;
  static void visit_fields(auto& z, auto&& field) {
    field("z_coefficient", z.z_coefficient, "weight of the router z-loss");
    field("z_reduce", z.z_reduce, "z-loss over layers: sum or mean");
  }
};

// [model.balance] with a single loss, or what stands beside a list of them.
struct OneTerm {
  BalanceTerm term;
  ZTerm z;
  static void visit_fields(auto& config, auto&& field) {
    BalanceTerm::visit_fields(config.term, field);
    ZTerm::visit_fields(config.z, field);
  }
};

// `node` is the table that has the keys of the term.
void check_term(const ConfigNode& node, const std::string& path, const BalanceTerm& term) {
  const auto check_name = [&](bool holds, const char* key, const std::string& got, const std::string& need) {
    require<ConfigError>(holds, got_at(place_of(node, key), join_path(path, key)), "'", got, "'; need ", need);
  };
  require<ConfigError>(term.coefficient >= 0, got_at(place_of(node, "coefficient"), join_path(path, "coefficient")),
                       term.coefficient, "; need at least 0");
  const BalanceLossKind& kind = term.loss.kind();
  const std::string name = "'" + term.loss.text() + "'";
  if (term.reduce) {
    const bool joins_layers = kind.layers == LayerReduction::concatenated;
    check_name((*term.reduce == LayerReduction::concatenated) == joins_layers, "reduce", name_of(*term.reduce),
               joins_layers ? "concatenated or nothing, since " + name +
                                  " joins the tokens of all layers first ('flaxformer' is its form by layers)"
                            : "one of: sum, mean");
  }
  if (term.counts) {
    const bool counts_first = kind.counts == Counts::first;
    check_name(
        (*term.counts == Counts::first) == counts_first, "counts", name_of(*term.counts),
        counts_first ? "first or nothing, since " + name + " counts first choices" : "one of: plain, actual, kept");
  }
  const std::string group_size = got_at(place_of(node, "group_size"), join_path(path, "group_size"));
  require<ConfigError>(term.group_size >= 0, group_size, term.group_size, "; need at least 0");
  require<ConfigError>(kind.has_groups || term.group_size == 0, group_size, term.group_size, "; need 0, since ", name,
                       " has no groups (gshard and flaxformer have)");
}

void read_list(const ConfigNode& list, const std::string& path, std::vector<BalanceTerm>& terms) {
  evenkeel::read_value(list, path + ".loss", terms);
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto& item = list.list()[i];
    const std::string item_path = path + ".loss[" + std::to_string(i) + "]";
    require<ConfigError>(item.find("loss") != nullptr, item.where, ": got ", item_path,
                         " without a loss; need the name of one");
    check_term(item, item_path, terms[i]);
    require<ConfigError>(item.find("coefficient") != nullptr, item.where, ": got ", item_path,
                         " without a coefficient; need one for each loss of a list");
    for (size_t j = 0; j < i; ++j)
      require<ConfigError>(terms[j].loss != terms[i].loss, item.where, ": got ", item_path, ".loss = '",
                           terms[i].loss.text(), "' a second time; need each loss once");
  }
}

}  // namespace

void read_value(const ConfigNode& node, const std::string& path, BalanceConfig& out) {
  if (!node.is_table()) fail_kind(node, path, "a table");
  ConfigNode rest = node;
  const ConfigNode* loss = node.find("loss");
  const bool is_list = loss != nullptr && loss->is_list();
  if (is_list) {
    for (const char* key : {"coefficient", "reduce", "counts", "group_size"})
      require<ConfigError>(node.find(key) == nullptr, place_of_either(node, key, "loss"), ": got ", path, ".", key,
                           " beside a list of losses; need it in each table of the list");
    read_list(*loss, path, out.terms);
    rest.erase("loss");
  }
  OneTerm one;
  one.term.coefficient = kDefaultCoefficient;
  evenkeel::read_value(rest, path, one);
  if (!is_list && loss != nullptr) {
    check_term(node, path, one.term);
    out.terms = {one.term};
  }
  for (const char* key : {"coefficient", "reduce", "counts", "group_size"})
    require<ConfigError>(loss != nullptr || node.find(key) == nullptr, place_of(node, key), ": got ", path, ".", key,
                         " without ", path, ".loss; need the name of the loss");
  out.z_coefficient = one.z.z_coefficient;
  out.z_reduce = one.z.z_reduce;
  require<ConfigError>(out.z_coefficient >= 0,
                       got_at(place_of(node, "z_coefficient"), join_path(path, "z_coefficient")), out.z_coefficient,
                       "; need at least 0");
}

Json to_json(const BalanceConfig& config) {
  Json terms = Json::array();
  for (auto term : config.terms) {
    const auto kind = kind_of(term);
    term.reduce = kind.layers;
    term.counts = kind.counts;
    terms.push_back(evenkeel::to_json(term));
  }
  Json out = Json::object();
  out["loss"] = terms;
  out["z_coefficient"] = config.z_coefficient;
  out["z_reduce"] = name_of(config.z_reduce);
  return out;
}

namespace {
// The keys of one loss, alone in the table or one of a list.
std::vector<ConfigKey> keys_of_loss(const BalanceLossKind& kind, const std::string& path, bool in_list) {
  const BalanceTerm term{
      .loss = kind.name, .coefficient = kDefaultCoefficient, .reduce = kind.layers, .counts = kind.counts};
  std::vector<ConfigKey> out;
  evenkeel::list_keys<BalanceTerm>(term, path, out);
  std::erase_if(out, [&](const ConfigKey& key) { return !kind.has_groups && key.key.ends_with(".group_size"); });
  for (auto& key : out) {
    if (!in_list && key.key.ends_with(".loss")) key.type = "string or list of tables";
    if (!in_list || !(key.key.ends_with(".loss") || key.key.ends_with(".coefficient"))) continue;
    key.is_required = true;
    key.default_value = {};
    key.default_text.clear();
  }
  return out;
}
}  // namespace

void list_keys(const BalanceConfig&, const std::string& path, std::vector<ConfigKey>& out) {
  for (const bool in_list : {false, true}) {
    const std::string of_term = in_list ? path + ".loss[]" : path;
    std::vector<ConfigKey> keys;
    for (const auto& kind : balance_loss_kinds())
      add_keys_of_kind(keys, keys_of_loss(kind, of_term, in_list), kind.name);
    name_kinds(keys, join_path(of_term, "loss"));
    out.insert(out.end(), keys.begin(), keys.end());
  }
  evenkeel::list_keys(ZTerm{}, path, out);
}

}  // namespace evenkeel::moe

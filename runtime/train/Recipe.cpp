#include "runtime/train/Recipe.h"

#include "runtime/base/Files.h"
#include "runtime/base/Nearest.h"
#include "runtime/base/Printable.h"
#include "runtime/train/CompileCommand.h"
#include "runtime/train/PathPattern.h"
#include "runtime/train/RecipeHints.h"
#include "runtime/train/TomlCheck.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <variant>

// An assert of toml++ is a text that it cannot read, and so an error of the user's. Its asserts must not
// become assumptions of the compiler either, as they do where NDEBUG is defined. Some of them (of go_back,
// step_back and backpedal) stand in functions that are noexcept, out of which a throw would end the process:
// they are about the parser's own position, and checkToml lets no text through that is known to reach them.
namespace moert {
struct TomlAssertion {
  const char *what;
};
} // namespace moert
#define TOML_ASSERT(condition) ((condition) ? void() : throw ::moert::TomlAssertion{#condition})
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#define TOML_ENABLE_FORMATTERS 0
#pragma push_macro("NDEBUG")
#undef NDEBUG
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace moert {
namespace {

using Field =
    std::variant<int64_t Recipe::*, double Recipe::*, std::string Recipe::*, std::vector<int64_t> Recipe::*,
                 std::vector<double> Recipe::*, std::vector<std::string> Recipe::*>;
enum class Kind { integer, number, text, integers, numbers, texts }; // in the order of Field's alternatives
struct Range {
  double low, high;
};
// What a value has to be; the range is of a number, and of each number of a list.
struct Form {
  Kind kind;
  Range range;
};
struct Key {
  const char *name;
  Field field;
  double low = 0, high = double(Recipe::kMaxInteger);
  Form form() const { return {Kind(field.index()), {low, high}}; }
};

const std::vector<Key> &keys() {
  static const std::vector<Key> table = {
      {"train.steps", &Recipe::steps, 0, double(Recipe::kMaxSteps)},
      {"train.batch_per_domain", &Recipe::batchPerDomain, 1, 1 << 20},
      {"train.seed", &Recipe::seed},
      {"train.checkpoint_every", &Recipe::checkpointEvery},
      {"train.objective", &Recipe::objective},
      {"init.file", &Recipe::initFile},
      {"init.fresh", &Recipe::initFresh},
      {"init.resize", &Recipe::initResize},
      {"data.kind", &Recipe::dataKind},
      {"data.path", &Recipe::dataPath},
      {"data.classes", &Recipe::classes, 0, 256},
      {"data.angles", &Recipe::angles, -360, 360},
      {"data.flips", &Recipe::flips, 0, 1},
      {"data.label_noise", &Recipe::labelNoise, 0, 1},
      {"data.seed", &Recipe::dataSeed, 0, 4294967295.0},
      {"data.trial_seed", &Recipe::trialSeed},
      {"data.holdout", &Recipe::holdout, 0.001, 0.99},
      {"data.held_out", &Recipe::heldOut},
      {"data.threads", &Recipe::dataThreads, 1, 64},
      {"log.every", &Recipe::logEvery},
      {"eval.every", &Recipe::evalEvery},
      {"eval.batch", &Recipe::evalBatch, 1, 1 << 20},
      {"eval.images", &Recipe::evalImages},
      {"eval.entry", &Recipe::evalEntry},
      {"optimizer.kind", &Recipe::optimizer},
  };
  return table;
}

// Numbers that a step reads as f32, by the keys that optimizers have; beta below 1 after rounding, and eps a
// divisor's only guard against 0.
constexpr double kMostF32 = 3.4e38;
// Numbers of 24 digits in all three lists are half of kLargestToml, so that what a run writes it reads.
constexpr size_t kMostListItems = 2048;
constexpr struct {
  std::string_view name;
  double low, high;
} kOptimizerKeys[] = {{"optimizer.lr", 0, kMostF32},       {"optimizer.beta1", 0, 0.999999},
                      {"optimizer.beta2", 0, 0.999999},    {"optimizer.eps", 1e-30, 1},
                      {"optimizer.weight_decay", 0, 1000}, {"optimizer.momentum", 0, 1}};

// The range of a number that the program has.
Range rangeOfProgram(std::string_view key) {
  for (auto &known : kOptimizerKeys)
    if (key == known.name)
      return {known.low, known.high};
  return {-kMostF32, kMostF32};
}

bool ofProgram(std::string_view key) { return key.starts_with("optimizer.") || key.starts_with("aux."); }

std::string number(double value) {
  char text[64];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string out(text, end);
  return out.find_first_of(".en") == std::string::npos ? out + ".0" : out;
}

// The parser's sentence as part of one of ours.
std::string lowered(std::string_view sentence) {
  std::string text(sentence);
  if (!text.empty())
    text[0] = char(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) { // all that TOML wants escaped
      char escape[8];
      snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string shown(const Recipe &recipe, const Field &field) {
  auto list = [](const auto &values, auto &&one) {
    std::string out = "[";
    for (size_t i = 0; i < values.size(); ++i)
      out += (i ? ", " : "") + one(values[i]);
    return out + "]";
  };
  if (auto *f = std::get_if<int64_t Recipe::*>(&field))
    return std::to_string(recipe.**f);
  if (auto *f = std::get_if<double Recipe::*>(&field))
    return number(recipe.**f);
  if (auto *f = std::get_if<std::string Recipe::*>(&field))
    return quoted(recipe.**f);
  if (auto *f = std::get_if<std::vector<int64_t> Recipe::*>(&field))
    return list(recipe.**f, [](int64_t v) { return std::to_string(v); });
  if (auto *f = std::get_if<std::vector<std::string> Recipe::*>(&field))
    return list(recipe.**f, quoted);
  return list(recipe.*std::get<std::vector<double> Recipe::*>(field), number);
}

const char *typeName(toml::node_type type) {
  switch (type) {
  case toml::node_type::string:
    return "a text";
  case toml::node_type::integer:
    return "an integer";
  case toml::node_type::floating_point:
    return "a number";
  case toml::node_type::boolean:
    return "a boolean";
  case toml::node_type::array:
    return "a list";
  case toml::node_type::table:
    return "a table";
  default:
    return "a date or time";
  }
}

// One key of a file or of the command line, with where it was written.
struct Item {
  std::string key, where;
  const toml::node *node;
};

// Whether a key may have it as it is.
bool isTomlValue(const std::string &text);

// "; did you mean [0]?" of a value that is of another type than its key, where there is one that is meant.
std::string valueHint(const Form &form, const toml::node &node) {
  auto shownNumber = [](const toml::node &node) -> std::string {
    if (node.is_integer())
      return std::to_string(*node.value<int64_t>());
    auto value = node.value<double>();
    return node.is_floating_point() && std::isfinite(*value) ? number(*value) : "";
  };
  auto meant = [](const std::string &value) {
    return value.empty() ? "" : concat("; did you mean ", value, "?");
  };
  bool integers = form.kind == Kind::integer || form.kind == Kind::integers;
  // As an integer, where it is wanted and the number is one.
  auto fitting = [&](const toml::node &node) -> std::string {
    auto value = node.value<double>();
    bool whole = node.is_floating_point() && *value == std::floor(*value) && std::abs(*value) < 1e15;
    return integers && whole ? std::to_string(int64_t(*value)) : shownNumber(node);
  };
  // What C reads as a number and TOML does not (".5", "5.", "07"), as TOML writes it.
  auto asNumber = [&](const std::string &text) -> std::string {
    char *end;
    const double value = std::strtod(text.c_str(), &end);
    const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
    if (text.empty() || *end || !std::isfinite(value) || (integers && !whole))
      return "";
    return integers ? std::to_string(int64_t(value)) : number(value);
  };
  std::string text = node.is_string() ? *node.value<std::string>() : "";
  bool numeric =
      !text.empty() && text.size() < 80 &&
      std::all_of(
          text.begin(), text.end(),
          [](char c) { return std::string_view("0123456789+-.eE_").find(c) != std::string_view::npos; });
  if (form.kind == Kind::text)
    return meant(node.is_number()    ? quoted(shownNumber(node))
                 : node.is_boolean() ? (*node.value<bool>() ? "\"true\"" : "\"false\"")
                                     : "");
  if (form.kind == Kind::integers || form.kind == Kind::numbers) {
    bool several = !text.empty() && text.size() < 80 &&
                   std::all_of(
                       text.begin(), text.end(),
                       [](char c) {
                         return std::string_view("0123456789+-.eE_, []").find(c) != std::string_view::npos;
                       });
    if (node.is_number())
      return meant(concat("[", fitting(node), "]"));
    std::string list = text.starts_with("[") ? text : concat("[", text, "]");
    if (several && isTomlValue(list))
      return meant(list);
    std::string one = several ? asNumber(text) : "";
    return meant(one.empty() ? "" : concat("[", one, "]"));
  }
  if (form.kind == Kind::texts)
    return text.empty() ? "" : meant(concat("[", quoted(text), "]"));
  if (const toml::array *array = node.as_array(); array && array->size() == 1)
    return meant(fitting(*array->get(0)));
  if (numeric && isTomlValue(text))
    return concat("; did you mean ", text, " without quotes?");
  if (std::string other = numeric ? asNumber(text) : ""; !other.empty())
    return meant(other);
  if (node.is_boolean() && !*node.value<bool>() && form.range.low <= 0)
    return meant("0");
  return integers && node.is_floating_point() && fitting(node) != shownNumber(node) ? meant(fitting(node))
                                                                                    : "";
}

Status wrongType(const Item &item, const Form &form, const char *expected, const toml::node &found) {
  return invalidInput(item.where, ": ", item.key, ": expected ", expected, ", found ", typeName(found.type()),
                      valueHint(form, found));
}

// As many digits as tell the number from every other one: a bound and what is just outside differ.
std::string digits(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e16)
    return std::to_string(int64_t(value));
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

constexpr std::string_view kMapPrefix = "init.map.";

Status checkPattern(const Item &item, const std::string &pattern) {
  if (pattern.size() > kLongestTomlKey / 2 || starsOf(pattern) > kMostStars)
    return invalidInput(item.where, ": ", brief(item.key), ": expected a pattern of at most ",
                        kLongestTomlKey / 2, " bytes and ", kMostStars, " stars, found ", pattern.size(),
                        " and ", starsOf(pattern));
  return okStatus();
}

Status inRange(const std::string &where, const std::string &name, double value, const Range &range) {
  if (value >= range.low && value <= range.high)
    return okStatus();
  return invalidInput(where, ": ", name, ": expected a value from ", digits(range.low), " to ",
                      digits(range.high), ", found ", digits(value));
}

Result<double> readNumber(const Item &item, const toml::node &node, const Range &range) {
  auto value = node.value<double>();
  if (!node.is_number() || !value)
    return wrongType(item, {Kind::number, range}, "a number", node);
  if (!std::isfinite(*value))
    return invalidInput(item.where, ": ", item.key, ": expected a finite number");
  MOERT_TRY(inRange(item.where, item.key, *value, range));
  return *value;
}

Result<int64_t> readInteger(const Item &item, const toml::node &node, const Range &range) {
  if (!node.is_integer())
    return wrongType(item, {Kind::integer, range}, "an integer", node);
  int64_t value = *node.value<int64_t>();
  MOERT_TRY(inRange(item.where, item.key, double(value), range));
  return value;
}

template <typename T, typename Read>
Status readList(const Item &item, const Form &form, std::vector<T> &values, const char *expected, Read read) {
  const toml::array *array = item.node->as_array();
  if (!array)
    return wrongType(item, form, expected, *item.node);
  values.clear();
  if (array->size() > kMostListItems)
    return invalidInput(item.where, ": ", item.key, ": expected a list of at most ", kMostListItems,
                        form.kind == Kind::texts ? " texts, found " : " numbers, found ", array->size());
  for (const toml::node &node : *array) {
    MOERT_ASSIGN(T value, read(item, node, form.range));
    values.push_back(value);
  }
  return okStatus();
}

// A text that TOML allows and no file, path or pattern has.
Result<std::string> readPlain(const Item &item, const toml::node &node) {
  std::string text = *node.value<std::string>();
  if (text.find('\0') != std::string::npos) // no name of a file, and the end of one for the system
    return invalidInput(item.where, ": ", item.key, ": expected a text without U+0000, found one with it");
  return text;
}

Result<std::string> readPattern(const Item &item, const toml::node &node, const Range &) {
  if (!node.is_string())
    return wrongType(item, {Kind::texts, {}}, "a list of texts in quotes", node);
  MOERT_ASSIGN(std::string text, readPlain(item, node));
  MOERT_TRY(checkPattern(item, text));
  return text;
}

// A line of [init.map]: its key is the pattern.
Status readMapLine(Recipe &recipe, const Item &item) {
  std::string pattern = item.key.substr(kMapPrefix.size());
  if (!item.node->is_string())
    return wrongType(item, {Kind::text, {}}, "the name in the file, as a text in quotes", *item.node);
  MOERT_ASSIGN(std::string source, readPlain(item, *item.node));
  MOERT_TRY(checkPattern(item, pattern));
  if (size_t stars = starsOf(source); stars && stars != starsOf(pattern))
    return invalidInput(item.where, ": init.map: expected no stars in the name, or the ", starsOf(pattern),
                        " of its pattern '", brief(pattern), "', found ", stars, " in '", brief(source), "'");
  std::erase_if(recipe.initMap, [&](const Recipe::MapLine &line) { return line.pattern == pattern; });
  if (recipe.initMap.size() == kMostListItems)
    return invalidInput(item.where, ": expected at most ", kMostListItems, " lines in [init.map]");
  recipe.initMap.push_back({std::move(pattern), std::move(source), item.where});
  return okStatus();
}

Status assign(Recipe &recipe, const Key &key, const Item &item) {
  Form form = key.form();
  if (auto *f = std::get_if<int64_t Recipe::*>(&key.field)) {
    MOERT_ASSIGN(recipe.**f, readInteger(item, *item.node, form.range));
  } else if (auto *f = std::get_if<double Recipe::*>(&key.field)) {
    MOERT_ASSIGN(recipe.**f, readNumber(item, *item.node, form.range));
  } else if (auto *f = std::get_if<std::string Recipe::*>(&key.field)) {
    if (!item.node->is_string())
      return wrongType(item, form, "a text in quotes", *item.node);
    MOERT_ASSIGN(recipe.**f, readPlain(item, *item.node));
  } else if (auto *f = std::get_if<std::vector<int64_t> Recipe::*>(&key.field)) {
    return readList(item, form, recipe.**f, "a list of integers", readInteger);
  } else if (auto *f = std::get_if<std::vector<std::string> Recipe::*>(&key.field)) {
    return readList(item, form, recipe.**f, "a list of texts", readPattern);
  } else {
    return readList(item, form, recipe.*std::get<std::vector<double> Recipe::*>(key.field),
                    "a list of numbers", readNumber);
  }
  return okStatus();
}

std::vector<std::string> keyNames() {
  std::vector<std::string> names;
  for (const Key &key : keys())
    names.push_back(key.name);
  return names;
}

std::vector<std::string> scalarKeys(const Program &program) {
  std::vector<std::string> names;
  for (const fb::Scalar *scalar : *program.table().scalars())
    if (scalar->kind() == fb::ScalarKind::recipe)
      names.push_back(scalar->key()->str());
  return names;
}

std::string optimizerOf(const Program &program) {
  return program.table().optimizer() ? program.table().optimizer()->str() : "none";
}

// Of a key in [optimizer] or [aux] that is no number of the program's and matches none.
Status unknownNumber(const Program &program, const std::string &key, const std::string &where) {
  std::vector<std::string> others = keyNames(), known = scalarKeys(program);
  for (const std::string &each : known)
    if (!each.starts_with(key.substr(0, key.find('.') + 1))) // those of this table are told below
      others.push_back(each);
  std::string elsewhere = namesakeHint(key, others);
  if (elsewhere.empty())
    elsewhere = namesakeHint(key, known);
  if (key.starts_with("aux.")) {
    std::erase_if(known, [](const std::string &each) { return !each.starts_with("aux."); });
    return invalidInput(where, ": the program has no auxiliary loss '", brief(key.substr(4)),
                        "' (one whose weight is 0 when compiled is left out)",
                        !elsewhere.empty() ? elsewhere
                        : known.empty()    ? "; it has none"
                                           : suggestion(key, known));
  }
  // By the names alone: the prefix that all share would make any two of them alike.
  constexpr std::string_view prefix = "optimizer.";
  std::vector<std::string> names;
  std::string list;
  for (const std::string &each : known)
    if (each.starts_with(prefix)) {
      list += (names.empty() ? "" : ", ") + each;
      names.push_back(each.substr(prefix.size()));
    }
  auto near = nearest(key.substr(prefix.size()), names, 1);
  return invalidInput(where, ": the program's optimizer '", optimizerOf(program), "' has no number '",
                      brief(key), "'",
                      !elsewhere.empty() ? elsewhere
                      : near.empty()     ? ""
                                         : concat("; did you mean '", prefix, near[0], "'?"),
                      "; it has: ", list);
}

bool isTable(std::string_view name) {
  const auto &all = keys();
  return name == "aux" || name == "optimizer" || name == "init.map" ||
         std::any_of(all.begin(), all.end(), [&](const Key &key) {
           std::string_view text = key.name;
           return text.substr(0, text.find('.')) == name;
         });
}

Status accept(Recipe &recipe, const Item &item, const Program *program) {
  for (const Key &key : keys())
    if (item.key == key.name) {
      recipe.sourceOfKey[item.key] = item.where;
      return assign(recipe, key, item);
    }
  if (ofProgram(item.key)) {
    auto read = readNumber(item, *item.node, rangeOfProgram(item.key));
    if (!read.ok() && program) { // a name that is wrong explains the value
      auto numbers = scalarKeys(*program);
      if (std::none_of(numbers.begin(), numbers.end(),
                       [&](const std::string &key) { return globMatches(item.key, key); }))
        return unknownNumber(*program, item.key, item.where);
    }
    MOERT_ASSIGN(double value, std::move(read));
    recipe.pendingSettings.push_back({item.key, item.where, value});
    return okStatus();
  }
  if (item.key.starts_with(kMapPrefix))
    return readMapLine(recipe, item);
  std::vector<std::string> known = keyNames();
  for (auto &key : kOptimizerKeys)
    known.emplace_back(key.name);
  if (program)
    for (std::string &key : scalarKeys(*program))
      if (key.starts_with("aux."))
        known.push_back(std::move(key));
  if (isTable(item.key)) {
    bool tables = item.node->is_array_of_tables();
    return invalidInput(item.where, ": expected the table [", item.key, "], found ",
                        tables ? "a list of tables" : typeName(item.node->type()),
                        item.node->is_array() ? "" : namesakeHint(item.key, known));
  }
  known.insert(known.begin(), "aux.NAME");
  return invalidInput(item.where, ": unknown key '", brief(item.key), "'", keyHint(item.key, known),
                      "; docs/recipe.md lists the keys");
}

// Depth first in the order of the text, so that a later line wins.
void flatten(const toml::table &table, const std::string &prefix, const std::string &where, bool lines,
             std::vector<Item> &items) {
  size_t first = items.size();
  for (auto &&[name, node] : table) {
    std::string key = prefix.empty() ? std::string(name.str()) : concat(prefix, ".", name.str());
    if (const toml::table *inner = node.as_table(); inner && !inner->empty()) {
      flatten(*inner, key, where, lines, items);
    } else if (!inner || !isTable(key)) {
      items.push_back({key, lines ? concat(where, ":", name.source().begin.line) : where, &node});
    }
  }
  if (prefix.empty() && lines)
    std::sort(items.begin() + long(first), items.end(), [](const Item &a, const Item &b) {
      auto &x = a.node->source().begin, &y = b.node->source().begin;
      return std::pair(x.line, x.column) < std::pair(y.line, y.column);
    });
}

// The first of the lines at which toml++ fails an assert of its own: what it has read before is no part of
// it.
size_t lineOfAssertion(const std::string &text) {
  auto fails = [](std::string_view part) {
    try {
      (void)toml::parse(part);
      return false;
    } catch (const TomlAssertion &) {
      return true;
    }
  };
  std::vector<size_t> ends; // of the lines
  for (size_t at = 0; at < text.size(); at = ends.back())
    ends.push_back(std::min(text.find('\n', at), text.size() - 1) + 1);
  auto first = std::partition_point(
      ends.begin(), ends.end(), [&](size_t end) { return !fails(std::string_view(text).substr(0, end)); });
  return size_t(first - ends.begin()) + 1;
}

std::variant<toml::table, TomlFault> parseToml(const std::string &text) {
  if (auto fault = checkToml(text))
    return *std::move(fault);
  try {
    toml::parse_result parsed = toml::parse(text);
    if (parsed)
      return std::move(parsed).table();
    const toml::parse_error &error = parsed.error();
    const bool tooLong = error.description().find("numeric value too long") != std::string_view::npos ||
                         error.description().find("exceeds length limit") != std::string_view::npos ||
                         error.description().find("not representable in 64 bits") != std::string_view::npos;
    return TomlFault{error.source().begin.line, error.source().begin.column,
                     tooLong ? "expected a number of fewer digits, or one with an exponent"
                             : lowered(error.description())};
  } catch (const TomlAssertion &failed) {
    return TomlFault{
        lineOfAssertion(text), 1,
        concat("expected TOML, found a line that its reader cannot ", "take (", failed.what, ")")};
  }
}

bool isTomlValue(const std::string &text) {
  return std::holds_alternative<toml::table>(parseToml(concat("x = ", text)));
}

// Keys that a --set gives are not read: what it replaces may be out of a range that was wider once.
Status readToml(const std::string &text, const std::string &path, const std::vector<std::string> &settings,
                Recipe &recipe, const Program *program) {
  auto parsed = parseToml(text);
  if (auto *fault = std::get_if<TomlFault>(&parsed))
    return invalidInput(path, ":", fault->line, ":", fault->column, ": ", fault->message);
  std::set<std::string> replaced;
  for (const std::string &setting : settings)
    replaced.insert(setting.substr(0, setting.find('=')));
  std::vector<Item> items;
  flatten(std::get<toml::table>(parsed), "", path, true, items);
  for (const Item &item : items)
    if (!replaced.count(item.key))
      MOERT_TRY(accept(recipe, item, program));
  return okStatus();
}

// "data.path=/x" needs no quotes on the command line: what is no TOML value is a text.
Status readSetting(const std::string &setting, Recipe &recipe, const Program *program) {
  std::string where = concat("--set ", brief(setting));
  size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0)
    return usageError(where, ": expected key=value");
  std::string key = setting.substr(0, equals), value = setting.substr(equals + 1);
  if (value.find('\n') != std::string::npos || key.find_first_of("\n#[]") != std::string::npos)
    return usageError(where, ": expected key=value on one line");
  for (size_t at = 0, length; at < setting.size(); at += length)
    if (length = utf8Length(std::string_view(setting).substr(at)); !length)
      return usageError(where, ": expected UTF-8, as recipes are, found the byte ",
                        printable(setting.substr(at, 1), /*line=*/true),
                        "; a file or folder of such a name needs another, or a link to it");
  // A pattern needs quotes in TOML and is typed without them.
  for (std::string_view prefix : {std::string_view("aux."), kMapPrefix})
    if (key.starts_with(prefix) && key.find('"') == std::string::npos)
      key = concat(prefix, quoted(key.substr(prefix.size())));
  auto parsed = parseToml(concat(key, " = ", value));
  std::string first; // why it is no value of TOML's, where it looks like one
  if (auto *fault = std::get_if<TomlFault>(&parsed)) {
    bool longNumber = value.size() >= 20 && value.find_first_not_of("0123456789+-.eE_") == std::string::npos;
    if (value.find_first_of("[{\"'") == 0 || longNumber)
      first = std::move(fault->message);
    parsed = parseToml(concat(key, " = ", quoted(value)));
  }
  if (auto *fault = std::get_if<TomlFault>(&parsed))
    return usageError(where, ": expected key=value: ", fault->message);
  std::vector<Item> items;
  flatten(std::get<toml::table>(parsed), "", where, false, items);
  for (const Item &item : items)
    if (Status status = accept(recipe, item, program); !status.ok())
      return first.empty() || !item.node->is_string() ? status : usageError(where, ": ", first);
  return okStatus();
}

// What no single key shows. The place to blame is the first key's that was given.
Status checkWhole(const Recipe &recipe) {
  bool rotated = recipe.dataKind == "rotated";
  const char *list = rotated ? "data.angles" : "data.flips";
  auto wrong = [&](std::initializer_list<const char *> keys, const auto &...parts) {
    for (const char *key : keys)
      if (auto found = recipe.sourceOfKey.find(key); found != recipe.sourceOfKey.end())
        return invalidInput(found->second, ": ", *keys.begin(), ": ", parts...);
    return invalidInput(*keys.begin(), ": ", parts...);
  };
  if (recipe.dataPath.empty()) // with it, the root folder would be looked into
    return wrong({"data.path"},
                 "expected a folder of the four IDX files, found an empty text; give one, or "
                 "leave the key out for ",
                 Recipe().dataPath);
  if (!rotated && recipe.dataKind != "colored")
    return wrong({"data.kind"}, "expected 'rotated' or 'colored', found '", brief(recipe.dataKind), "'");
  size_t domains = rotated ? recipe.angles.size() : recipe.flips.size();
  if (domains == 0)
    return wrong({list}, "expected at least one domain, found an empty list");
  std::set<int64_t> seen;
  for (int64_t domain : recipe.heldOut) {
    if (domain >= int64_t(domains))
      return wrong({"data.held_out", list, "data.kind"}, "expected domains from 0 to ", domains - 1,
                   ", found ", domain, ": there are ", domains, " (", list, ")");
    if (!seen.insert(domain).second)
      return wrong({"data.held_out"}, "expected each domain once, found ", domain, " twice");
  }
  if (recipe.heldOut.size() == domains)
    return wrong({"data.held_out", list, "data.kind"}, "expected a domain left to train on, found all ",
                 domains, " held out");
  return okStatus();
}

} // namespace

Result<Recipe> Recipe::read(const std::string &path, const std::vector<std::string> &settings,
                            const Program *program) {
  if (path.empty())
    return parse("", "", settings, program);
  MOERT_ASSIGN(std::string text, readText(path, kLargestToml));
  return parse(text, path, settings, program);
}

Result<Recipe> Recipe::parse(const std::string &text, const std::string &name,
                             const std::vector<std::string> &settings, const Program *program) {
  Recipe recipe;
  MOERT_TRY(readToml(text, name, settings, recipe, program));
  for (const std::string &setting : settings)
    MOERT_TRY(readSetting(setting, recipe, program));
  MOERT_TRY(checkWhole(recipe));
  return recipe;
}

// A star takes as little as it can, and more of it where what follows does not match. Only the last star has
// to be gone back to: whatever an earlier one of the same part takes, the last can take as well, and dots are
// matched by dots alone.
bool globMatches(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, taken = 0; // the last star, and where its run ends
  while (p < pattern.size() || n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && n < name.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos && taken < name.size() && name[taken] != '.') {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  return true;
}

// What is written has to be read again, by --resume and by eval: so the program's own numbers and names are
// held to what a recipe may have.
static Status checkScalars(const Program &program, const Recipe &recipe) {
  for (auto &[key, value] : recipe.scalars) {
    if (quoted(key).size() > kLongestTomlKey)
      return invalidInput(program.path(), ": expected names of losses of at most ", kLongestTomlKey,
                          " bytes in all, found the longer '", brief(key), "'");
    MOERT_TRY(inRange(program.path(), key, value, rangeOfProgram(key)));
  }
  if (size_t size = recipe.text().size(); size > kLargestToml)
    return invalidInput(program.path(), ": expected a recipe of at most ", kLargestToml,
                        " bytes with all losses of the program, found ", size);
  return okStatus();
}

Status Recipe::bind(const Program &program) {
  scalars.clear();
  for (const fb::Scalar *scalar : *program.table().scalars())
    if (scalar->kind() == fb::ScalarKind::recipe)
      scalars.push_back({scalar->key()->str(), scalar->fallback()});
  std::string has = optimizerOf(program);
  const std::vector<std::string> all{"adam", "adamw", "sgd"}; // that moec knows
  if (!optimizer.empty() && optimizer != has && std::find(all.begin(), all.end(), optimizer) == all.end())
    return invalidInput("optimizer.kind: expected adam, adamw or sgd, found '", brief(optimizer),
                        "'; the program has '", has, "'");
  if (!optimizer.empty() && optimizer != has)
    return invalidInput("optimizer.kind: expected the program's optimizer '", has, "', found '", optimizer,
                        "'; compile with it: ", compileCommand(program, {{"--optimizer", optimizer}}));
  // Exact keys outrank patterns; among equals the later wins.
  for (bool exact : {false, true})
    for (const PendingSetting &setting : pendingSettings) {
      if ((setting.key.find('*') == std::string::npos) != exact)
        continue;
      bool used = false;
      for (auto &[key, value] : scalars)
        if (globMatches(setting.key, key)) {
          value = setting.value;
          used = true;
        }
      if (!used)
        return unknownNumber(program, setting.key, setting.where);
    }
  return checkScalars(program, *this);
}

std::string Recipe::text() const {
  std::map<std::string, std::string> sections;
  auto add = [&](const std::string &key, const std::string &value) {
    size_t dot = key.find('.');
    std::string name = key.substr(dot + 1);
    bool bare = std::all_of(name.begin(), name.end(),
                            [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
    sections[key.substr(0, dot)] += concat(bare ? name : quoted(name), " = ", value, "\n");
  };
  for (const Key &key : keys()) {
    std::string_view name = key.name;
    if ((name == "data.angles" && dataKind != "rotated") ||
        ((name == "data.flips" || name == "data.label_noise") && dataKind != "colored"))
      continue;
    if (name.starts_with("init.") && shown(*this, key.field) == shown(Recipe(), key.field))
      continue; // most runs take nothing from a file
    add(key.name, shown(*this, key.field));
  }
  for (auto &[key, value] : scalars)
    add(key, number(value));
  for (const MapLine &line : initMap)
    sections["init.map"] += concat(quoted(line.pattern), " = ", quoted(line.source), "\n");
  std::string out;
  for (const char *name : {"train", "init", "init.map", "optimizer", "aux", "data", "log", "eval"})
    if (sections.count(name))
      out += concat(out.empty() ? "" : "\n", "[", name, "]\n", sections[name]);
  return out;
}

DomainSetOptions Recipe::dataOptions() const {
  DomainSetOptions options;
  options.kind = dataKind == "colored" ? DomainKind::colored : DomainKind::rotated;
  options.path = dataPath;
  options.classes = classes;
  options.angles = angles;
  options.flips = flips;
  options.labelNoise = labelNoise;
  options.seed = uint32_t(dataSeed);
  return options;
}

std::vector<std::string> differences(const Recipe &expected, const Recipe &found,
                                     const std::vector<std::string> &allowed) {
  std::vector<std::string> lines;
  auto compare = [&](const std::string &key, const std::string &a, const std::string &b) {
    if (a != b && key != "data.path" && key != "data.threads" &&
        std::find(allowed.begin(), allowed.end(), key) == allowed.end())
      lines.push_back(concat(key, ": expected ", a, ", found ", b));
  };
  for (const Key &key : keys())
    compare(key.name, shown(expected, key.field), shown(found, key.field));
  auto map = [](const Recipe &recipe) {
    std::string text;
    for (const Recipe::MapLine &line : recipe.initMap)
      text += concat(text.empty() ? "" : ", ", quoted(line.pattern), " = ", quoted(line.source));
    return concat("{", text, "}");
  };
  compare("init.map", map(expected), map(found));
  std::map<std::string, double> values(found.scalars.begin(), found.scalars.end());
  for (auto &[key, value] : expected.scalars)
    compare(key, number(value), values.count(key) ? number(values[key]) : "none");
  return lines;
}

} // namespace moert

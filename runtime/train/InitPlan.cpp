#include "runtime/train/InitPlan.h"

#include "runtime/base/Nearest.h"
#include "runtime/base/Printable.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/PathPattern.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace moert {
namespace {

using Shape = std::vector<int64_t>;

Shape shapeOf(const fb::State &row) { return Shape(row.shape()->begin(), row.shape()->end()); }

bool matchesAny(const std::vector<std::string> &patterns, std::string_view path) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string &pattern) { return matchPath(pattern, path).has_value(); });
}

// The path without the scope of the experts; empty where there is none.
std::string densePath(std::string_view path) {
  constexpr std::string_view scope = "experts.";
  for (size_t at = 0; at < path.size(); at = path.find('.', at) + 1) {
    if (path.substr(at).starts_with(scope))
      return concat(path.substr(0, at), path.substr(at + scope.size()));
    if (path.find('.', at) == std::string_view::npos)
      break;
  }
  return "";
}

// The path of an expert's parameter in a list of layers, `experts.0.fc1.weight`, without the number of the list's item; empty
// where there is none.
std::string listPath(std::string_view path) {
  constexpr std::string_view scope = "experts.";
  for (size_t at = 0; at < path.size(); at = path.find('.', at) + 1) {
    if (path.substr(at).starts_with(scope)) {
      const size_t number = at + scope.size(), end = path.find('.', number);
      const bool digits =
          end != std::string_view::npos && end > number &&
          path.substr(number, end - number).find_first_not_of("0123456789") == std::string_view::npos;
      return digits ? concat(path.substr(0, number), path.substr(end + 1)) : "";
    }
    if (path.find('.', at) == std::string_view::npos)
      break;
  }
  return "";
}

// Height and width of the images that the program is trained on; of none they are a square.
std::pair<int64_t, int64_t> imageOf(const Program &program) {
  for (const fb::Entry *entry : *program.table().entries())
    for (const fb::Port *port : *entry->inputs())
      if (port->name()->string_view() == "image" && port->shape()->size() == 4)
        if (auto shape = program.shape(*port, {1, 1}); shape.ok())
          return {(*shape)[2], (*shape)[3]};
  return {1, 1};
}

class Planner {
public:
  Planner(const Program &program, const Recipe &recipe, const Safetensors &file, const std::string &path)
      : program_(program), recipe_(recipe), file_(file), path_(path) {}

  Result<InitPlan> run() {
    MOERT_TRY(checkMap());
    for (const StoredTensor &row : file_.stored())
      names_.push_back(row.name);
    taken_.assign(names_.size(), false);
    for (unsigned i = 0; i < program_.table().states()->size(); ++i)
      if (const fb::State &row = *program_.table().states()->Get(i); ofModel(row))
        fill(i, row);
    if (missing_ + misfits_)
      return refusal();
    for (size_t i = 0; i < taken_.size(); ++i)
      if (!taken_[i])
        plan_.skipped.push_back(i);
    return std::move(plan_);
  }

private:
  // Every line has to match a parameter: a slip in a name would else go unnoticed.
  Status checkMap() const {
    std::vector<std::string> paths;
    for (const fb::State *row : *program_.table().states())
      if (ofModel(*row)) {
        paths.push_back(row->path()->str());
        if (std::string list = listPath(paths.back()); !list.empty())
          paths.push_back(std::move(list));
      }
    for (const Recipe::MapLine &line : recipe_.initMap)
      if (std::none_of(paths.begin(), paths.end(),
                       [&](const std::string &path) { return matchPath(line.pattern, path); })) {
        auto near = nearest(line.pattern, paths);
        return invalidInput(line.where, ": init.map: expected a pattern of the program's parameters, found '",
                            shownName(line.pattern), "', which matches none",
                            near.empty() ? "" : concat("; did you mean '", near[0], "'?"));
      }
    return okStatus();
  }

  // The line of the map that decides, as aux does: an exact path outranks patterns, and the later wins.
  const Recipe::MapLine *lineOf(const std::string &path) const {
    const Recipe::MapLine *chosen = nullptr;
    for (const Recipe::MapLine &line : recipe_.initMap)
      if (bool exact = line.pattern == path; exact || matchPath(line.pattern, path))
        if (!chosen || exact || chosen->pattern != path)
          chosen = &line;
    return chosen;
  }

  struct Source {
    const StoredTensor *tensor = nullptr; // null: the file has none
    std::string key;                      // its name, or the one that was looked for
    bool copies = false;                  // whether it may be the same for every expert
  };

  // What a path's values come from, by the map or by its own name.
  Source sourceOf(const std::string &path) const {
    const Recipe::MapLine *line = lineOf(path);
    Source source;
    source.key = line ? fillStars(line->source, *matchPath(line->pattern, path)) : path;
    source.copies = line;
    source.tensor = file_.findStored(source.key);
    if (std::string dense = source.tensor ? "" : densePath(source.key); !dense.empty())
      if (const StoredTensor *layer = file_.findStored(dense))
        source = {layer, std::move(dense), true};
    return source;
  }

  void fill(size_t state, const fb::State &row) {
    const std::string path = row.path()->str();
    const bool mayBeFresh = matchesAny(recipe_.initFresh, path);
    const Recipe::MapLine *line = lineOf(path);
    if (line && line->source.empty())
      return add({state, Fill::fresh, kNoSource, 0, {}});
    auto [source, key, copies] = sourceOf(path);
    // One of several layers of experts: what is there for all of them.
    bool ofList = false;
    if (const std::string list = source ? "" : listPath(path); !list.empty())
      if (Source all = sourceOf(list); all.tensor) {
        source = all.tensor;
        key = std::move(all.key);
        copies = ofList = true;
      }
    if (!source)
      return mayBeFresh ? add({state, Fill::fresh, kNoSource, 0, {}}) : isMissing(path, key);
    const size_t number = size_t(source - file_.stored().data());
    const Shape need = shapeOf(row), &have = source->shape;
    auto misfit = [&](const std::string &what) {
      taken_[number] = true; // it is told of already
      isMisfit(concat("'", path, "'", key == path ? "" : concat(" from '", shownName(key), "'"), ": ", what));
    };
    if (row.type() == fb::ElementType::f32 ? !isFloatType(source->type)
                                           : source->type != storedTypeName(row.type()))
      return misfit(
          concat("expected ",
                 row.type() == fb::ElementType::f32 ? "F32, F16, BF16 or F64" : storedTypeName(row.type()),
                 ", found ", source->type));
    if (have == need)
      return add({state, Fill::loaded, number, 0, {}});
    if (copies && need.size() == have.size() + 1 && std::equal(have.begin(), have.end(), need.begin() + 1))
      return add({state, Fill::copied, number, need[0], {}});
    // Of layers of several sizes, the file's dense layer has that of some.
    if (ofList && need.size() == have.size() + 1)
      return add({state, Fill::fresh, number, 0, {}});
    if (mayBeFresh && !need.empty() && need.size() == have.size() && need[0] != have[0] &&
        std::equal(have.begin() + 1, have.end(), need.begin() + 1))
      return add({state, Fill::fresh, number, 0, {}});
    if (matchesAny(recipe_.initResize, path) && need.size() == have.size() && need.back() == have.back() &&
        (need.size() == 2 || (need.size() == 3 && need[0] == 1 && have[0] == 1))) {
      auto [height, width] = imageOf(program_);
      const int64_t to = need[need.size() - 2], from = have[need.size() - 2];
      if (auto size = tableResize(from, to, height, width))
        return add({state, Fill::resized, number, 0, *size});
      return misfit(concat("expected a table of a square grid of patches behind as many prefix tokens as "
                           "the model's ",
                           shapeText(need), " has, found ", shapeText(have),
                           height == width ? "" : concat(" (images of ", height, " x ", width, ")")));
    }
    std::string hint;
    if (!line && need.size() == have.size() + 1 && std::equal(have.begin(), have.end(), need.begin() + 1))
      hint =
          concat("; to copy it to each of ", need[0], ", write \"", path, "\" = \"", key, "\" in [init.map]");
    misfit(concat("expected ", shapeText(need), ", found ", shapeText(have), hint));
  }

  void add(Filling filling) {
    if (filling.source != kNoSource && filling.how != Fill::fresh)
      taken_[filling.source] = true;
    plan_.fillings.push_back(filling);
  }

  void isMissing(const std::string &path, const std::string &key) {
    if (++missing_ > kListed)
      return;
    auto near = names_.size() > kCompared ? std::vector<std::string>() : nearest(key, names_);
    nearby_ |= !near.empty();
    problems_.push_back(concat("'", path, "' is missing",
                               key == path ? "" : concat(" (as '", shownName(key), "')"),
                               near.empty() ? "" : concat("; nearest there: '", shownName(near[0]), "'")));
  }

  void isMisfit(std::string what) {
    if (++misfits_ <= kListed)
      problems_.push_back(std::move(what));
  }

  Status refusal() const {
    std::string text = concat(path_, ": expected weights of the program ", program_.path(),
                              ", found those of another model: ", missing_, " missing, ", misfits_,
                              " of another shape or type");
    for (const std::string &problem : problems_)
      text += "\n  " + problem;
    if (missing_ + misfits_ > problems_.size())
      text += "\n  ...";
    if (missing_ && !nearby_ && !names_.empty()) {
      text += "\nthe file has ";
      for (size_t i = 0; i < std::min<size_t>(names_.size(), 3); ++i)
        text += concat(i ? ", '" : "'", shownName(names_[i]), "'");
      text += names_.size() > 3 ? concat(" and ", names_.size() - 3, " more") : "";
    }
    if (missing_)
      text += "\n[init.map] of the recipe gives other names, init.fresh lists what may keep its initial "
              "values; docs/recipe.md explains both";
    return invalidInput(text);
  }

  static constexpr size_t kListed = 5, kCompared = 4096; // names that are looked through for a nearest one
  const Program &program_;
  const Recipe &recipe_;
  const Safetensors &file_;
  const std::string &path_;
  InitPlan plan_;
  std::vector<std::string> names_;
  std::vector<bool> taken_; // of the file's tensors
  std::vector<std::string> problems_;
  size_t missing_ = 0, misfits_ = 0;
  bool nearby_ = false; // whether a name was found for one that is missing
};

// Lines of parameters; those that differ in the first number of their paths alone share one.
class Lines {
public:
  /// `more` follows the path; in `from`, another path, the same number is shared as well.
  void add(const std::string &path, const std::string &from, const std::string &more) {
    ++count_;
    auto [text, number] = split(path);
    if (!from.empty()) {
      auto [other, same] = split(from);
      text += " from " + (same == number ? other : from);
    }
    text += more;
    auto [place, isNew] = places_.try_emplace(text, lines_.size());
    if (isNew)
      lines_.push_back({text, {}});
    lines_[place->second].numbers.push_back(number);
  }

  std::string text(const std::string &title) const {
    constexpr size_t kShown = 200; // of what a file may hold besides
    if (!count_)
      return "";
    std::string text = concat("\n  ", title, " (", count_, "):");
    for (size_t i = 0; i < std::min(lines_.size(), kShown); ++i)
      text += "\n    " + filled(lines_[i]);
    return text + (lines_.size() > kShown ? concat("\n    and ", lines_.size() - kShown, " more") : "");
  }

private:
  struct Line {
    std::string text;
    std::vector<std::optional<uint64_t>> numbers;
  };
  static constexpr char kPlace = '\0'; // of the number; no path that is printed has one

  static std::pair<std::string, std::optional<uint64_t>> split(const std::string &path) {
    for (size_t at = 0, end; at < path.size(); at = end + 1) {
      end = std::min(path.find('.', at), path.size());
      uint64_t number = 0;
      auto [last, error] = std::from_chars(path.data() + at, path.data() + end, number);
      if (end > at && error == std::errc() && last == path.data() + end &&
          std::to_string(number).size() == end - at)
        return {path.substr(0, at) + kPlace + path.substr(end), number};
    }
    return {path, std::nullopt};
  }

  static std::string filled(const Line &line) {
    std::string list; // "0-7,9"
    auto &numbers = line.numbers;
    for (size_t i = 0, end; numbers[0] && i < numbers.size(); i = end) {
      for (end = i + 1; end < numbers.size() && *numbers[end] == *numbers[end - 1] + 1; ++end)
        ;
      list += concat(list.empty() ? "" : ",", *numbers[i]);
      if (end > i + 1)
        list += concat(end > i + 2 ? "-" : ",", *numbers[end - 1]);
    }
    std::string text;
    for (char c : line.text)
      text += c == kPlace ? (numbers.size() > 1 ? concat("{", list, "}") : list) : std::string(1, c);
    return text;
  }

  size_t count_ = 0;
  std::vector<Line> lines_;
  std::map<std::string, size_t> places_; // of a text, in lines_
};

std::string tokens(const TableResize &size) {
  return concat(": its grid of ", size.from.rows, " x ", size.from.columns, " to ", size.to.rows, " x ",
                size.to.columns,
                size.prefix
                    ? concat(", behind ", size.prefix, size.prefix == 1 ? " prefix token" : " prefix tokens")
                    : "");
}

} // namespace

std::string describe(const InitPlan &plan, const Program &program, const Safetensors &file) {
  Lines lines[4], skipped;
  for (const Filling &filling : plan.fillings) {
    const fb::State &row = *program.table().states()->Get(unsigned(filling.state));
    const std::string path = row.path()->str(), shape = " " + shapeText(shapeOf(row));
    const StoredTensor *source = filling.source == kNoSource ? nullptr : &file.stored()[filling.source];
    const std::string type = source && source->type != "F32" ? concat(" of ", source->type) : "";
    const std::string other = source && source->name != path ? shownName(source->name) : "";
    std::string more = shape + type;
    switch (filling.how) {
    case Fill::loaded:
    case Fill::copied:
      break;
    case Fill::resized:
      more = concat(shape, " of ", shapeText(source->shape), type, tokens(filling.size));
      break;
    case Fill::fresh:
      more = source ? concat(shape, ", not the file's ", shapeText(source->shape)) : shape;
    }
    lines[size_t(filling.how)].add(path, filling.how == Fill::fresh ? "" : other, more);
  }
  for (size_t i : plan.skipped) {
    const StoredTensor &row = file.stored()[i];
    skipped.add(shownName(row.name), "", concat(" ", shapeText(row.shape)));
  }
  return concat(lines[0].text("loaded"), lines[1].text("copied to each expert"), lines[2].text("resized"),
                lines[3].text("fresh: they keep their initial values"),
                skipped.text("skipped: no parameter takes them"));
}

bool isFloatType(std::string_view type) {
  return type == "F32" || type == "F16" || type == "BF16" || type == "F64";
}

Result<InitPlan> planInit(const Program &program, const Recipe &recipe, const Safetensors &file,
                          const std::string &path) {
  return Planner(program, recipe, file, path).run();
}

} // namespace moert

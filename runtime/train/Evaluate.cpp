#include "runtime/train/Evaluate.h"

#include "runtime/base/Nearest.h"
#include "runtime/program/Names.h"
#include "runtime/train/CompileCommand.h"
#include "runtime/train/Feed.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace moert {
namespace {

std::optional<int64_t> integer(std::optional<std::string_view> text) {
  int64_t value = 0;
  if (!text ||
      std::from_chars(text->data(), text->data() + text->size(), value).ptr != text->data() + text->size())
    return std::nullopt;
  return value;
}

} // namespace

Result<SplitData> SplitData::open(const Recipe &recipe,
                                  const std::function<Status(const SplitData &)> &check) {
  MOERT_ASSIGN(DomainSet set, DomainSet::describe(recipe.dataOptions()));
  SplitData data{std::move(set), {}, {}, {}};
  for (size_t domain = 0; domain < data.set.domains(); ++domain) {
    data.splits.push_back(
        splitDomain(data.set.size(domain), recipe.holdout, splitSeed(recipe.trialSeed, int64_t(domain))));
    bool held = std::count(recipe.heldOut.begin(), recipe.heldOut.end(), int64_t(domain));
    data.domainLabel.push_back(held ? -1 : int32_t(data.training.size()));
    if (!held)
      data.training.push_back(domain);
    if (!held && data.splits.back().out.empty()) // the score of `best` would be no number
      return invalidInput(
          "data.holdout: expected at least one image in each out-split, found none in domain ", domain,
          ", which has ", data.set.size(domain),
          data.set.size(domain) < 2 ? concat(" in all: give more data")
                                    : concat("; raise data.holdout = ", recipe.holdout));
    if (!held && data.splits.back().in.empty())
      return invalidInput(recipe.dataPath, ": expected at least one training image in domain ", domain,
                          ", found none");
  }
  if (check)
    MOERT_TRY(check(data));
  MOERT_TRY(data.set.unpack());
  return data;
}

Result<const fb::Entry *> inferenceEntry(const Program &program, const std::string &name) {
  std::vector<std::string> names;
  for (const fb::Entry *entry : *program.table().entries())
    if (entry->kind() == fb::EntryKind::infer) {
      names.push_back(entry->name()->str());
      if (name.empty() || names.back() == name)
        return entry;
    }
  if (names.empty())
    return invalidInput(program.path(), ": expected an inference entry, found none");
  for (const fb::Entry *entry : *program.table().entries())
    if (entry->name()->string_view() == name) {
      std::string list;
      for (const std::string &each : names)
        list += (list.empty() ? "" : ", ") + each;
      return invalidInput(program.path(), ": '", name, "' is not an inference entry; there are: ", list);
    }
  return invalidInput(program.path(), ": no inference entry '", name, "'",
                      name == "gradients" ? "; 'moec compile --gradients' adds it" : suggestion(name, names));
}

Result<const fb::Entry *> judgingEntry(const Program &program, const std::string &name) {
  if (name.empty() && program.entry(kAsTrained).ok())
    return inferenceEntry(program, std::string(kAsTrained));
  return inferenceEntry(program, name);
}

Result<const fb::Entry *> routingEntry(const Program &program, const std::string &routing) {
  if (routing != "as-trained")
    return inferenceEntry(program, "");
  if (auto entry = program.entry(kAsTrained); entry.ok())
    return inferenceEntry(program, std::string(kAsTrained));
  return invalidInput(program.path(), ": expected a program with an entry '", kAsTrained,
                      "' for --routing as-trained, found none: no routing of the model has a 'capacity', so "
                      "none drops rows");
}

Result<const fb::Entry *> trainingEntry(const Program &program, const std::string &objective) {
  std::vector<const fb::Entry *> entries;
  std::vector<std::string> objectives;
  for (const fb::Entry *entry : *program.table().entries())
    if (entry->kind() == fb::EntryKind::train) {
      objectives.push_back(entry->objective() ? entry->objective()->str() : entry->name()->str());
      entries.push_back(entry);
      if (objectives.back() == objective)
        return entry;
    }
  if (entries.size() == 1 && objective.empty())
    return entries[0];
  if (entries.empty())
    return invalidInput(program.path(), ": expected a training entry, found none; compile with one: ",
                        compileCommand(program, {{"--objective", "erm"}}));
  std::string list;
  for (const std::string &name : objectives)
    list += (list.empty() ? "" : ", ") + name;
  if (objective.empty())
    return invalidInput("train.objective: expected one of ", list, ", found none");
  return invalidInput("train.objective: expected ", objectives.size() > 1 ? "one of " : "", list,
                      ", which the program was compiled with, found '", objective, "'");
}

Result<std::string> scoresOutput(const Program &program, const fb::Entry &entry) {
  std::vector<std::string> found;
  for (const fb::Port *port : *entry.outputs()) {
    if (port->exposed() || port->type() != fb::ElementType::f32 || port->shape()->size() != 2)
      continue;
    // One row an image: gradients and the like have as many whatever the batch is.
    auto two = program.shape(*port, {1, 2}), three = program.shape(*port, {1, 3});
    if (!two.ok() || !three.ok() || (*two)[0] != 2 || (*three)[0] != 3)
      continue;
    if (port->name()->str() == "logits")
      return std::string("logits");
    found.push_back(port->name()->str());
  }
  if (found.size() == 1)
    return found[0];
  return invalidInput(program.path(), ": entry '", entry.name()->str(),
                      "': expected an output 'logits' of a row of class scores an image, found ",
                      found.size(), " such outputs");
}

Result<int64_t> classesOf(const Program &program, const fb::Entry &entry) {
  MOERT_ASSIGN(std::string scores, scoresOutput(program, entry));
  for (const fb::Port *port : *entry.outputs())
    if (port->name()->str() == scores) {
      MOERT_ASSIGN(std::vector<int64_t> shape, program.shape(*port, {1, 1}));
      return shape[1];
    }
  return internalError("an entry has no output that it has");
}

Status checkInputs(const Program &program, const fb::Entry &entry) {
  for (const fb::Port *port : *entry.inputs()) {
    std::string name = port->name()->str();
    if (name != "image" && name != "label" && name != "domain")
      return invalidInput(
          program.path(), ": entry '", entry.name()->str(),
          "': expected inputs that the data has (image, label, domain), found '", name,
          "'; train and eval cannot give it: make it a param of the model, or compute it there");
  }
  return okStatus();
}

Status checkFits(const Program &program, const SplitData &data, const Recipe &recipe, Use use) {
  MOERT_ASSIGN(const fb::Entry *entry, inferenceEntry(program, recipe.evalEntry));
  MOERT_TRY(checkInputs(program, *entry));
  const fb::Port *image = nullptr;
  for (const fb::Port *port : *entry->inputs())
    if (port->name()->str() == "image")
      image = port;
  if (!image || image->type() != fb::ElementType::f32 || image->shape()->size() != 4)
    return invalidInput(
        program.path(), ": entry '", entry->name()->str(),
        "': expected an input 'image' of f32 [B, channels, height, width] for this data, found ",
        image ? "another type or shape" : "none");
  MOERT_ASSIGN(std::vector<int64_t> shape, program.shape(*image, {1, 1}));
  MOERT_ASSIGN(std::string scores, scoresOutput(program, *entry));
  MOERT_ASSIGN(int64_t classes, classesOf(program, *entry));
  std::vector<std::pair<std::string, std::string>> changes;
  std::string found, fixed, own; // own: what no choice at compile time mends
  bool mended = true;            // by `changes`, all that no recipe key mends
  // The program records its sizes by name, not what they are for: one that is called `width` may be a stem's.
  // So it is taken for the image's only where it has the image's extent, and nothing says that it is apart.
  auto sets = [&](const std::string &key, int64_t has, const std::string &place) {
    return integer(program.config(key)) == has && !program.config(concat("%apart.", key, ".", place));
  };
  auto compare = [&](const std::string &what, const std::string &key, int64_t has, int64_t needs,
                     const std::string &place, const std::string &yet) {
    if (has == needs)
      return;
    found += concat(found.empty() ? "" : ", ", what, ": program ", has, ", data ", needs);
    if (sets(key, has, place)) {
      changes.push_back({key, std::to_string(needs)});
      return;
    }
    mended = false;
    if (auto chosen = integer(program.config(key)); chosen == has)
      own += concat("; its ", key, "=", has, " is not what sets the ", what, ": change the model's text");
    else if (chosen)
      own += concat("; it was compiled with ", key, "=", *chosen, yet, ": change the model's text");
    else
      fixed += concat(fixed.empty() ? "" : ", ", key);
  };
  auto compareImage = [&](const std::string &what, const char *key, int64_t has, int64_t needs) {
    compare(what, key, has, needs, "image", concat(", and its image has ", has));
  };
  compare("classes", "classes", classes, data.set.classes(), "scores",
          concat(", and returns ", classes, " scores an image in '", scores, "'"));
  // A set may merely have no image of the last labels; coloured domains have two classes whatever the set
  // has.
  bool lacking = classes > data.set.classes() && recipe.dataKind == "rotated";
  std::string ofClasses = found;
  compareImage("channels", "channels", shape[1], data.set.channels());
  bool square = data.set.height() == data.set.width() && shape[2] == shape[3];
  bool sides = sets("height", shape[2], "image") && sets("width", shape[3], "image");
  if (square && (!sides || sets("size", shape[2], "image"))) {
    compareImage("image size", "size", shape[2], data.set.height());
  } else {
    compareImage("image height", "height", shape[2], data.set.height());
    compareImage("image width", "width", shape[3], data.set.width());
  }
  // A loss that compares with labels or domains drops the rows whose label is beyond its scores.
  int64_t domains = int64_t(data.training.size());
  for (auto &[key, weight] : recipe.scalars) {
    if (use == Use::evaluation)
      break;
    auto compared = program.config(key + ".labels");
    bool ofDomains = compared && compared->starts_with("domain ");
    auto has = compared ? integer(compared->substr(std::min(compared->size(), compared->find(' ') + 1)))
                        : std::nullopt;
    int64_t needs = ofDomains ? domains : data.set.classes();
    if (!has || *has >= needs || weight == 0)
      continue;
    std::string what = concat(ofDomains ? "training domains" : "classes", " that ", key, " tells apart");
    auto names = ofDomains ? std::vector<const char *>{"domains", "experts"} : std::vector{"classes"};
    auto size = std::find_if(names.begin(), names.end(), [&](auto name) { return sets(name, *has, key); });
    if (size != names.end()) {
      compare(what, *size, *has, needs, key, "");
    } else {
      found += concat(found.empty() ? "" : ", ", what, ": program ", *has, ", data ", needs);
      own += concat("; the scores of ", key, " have ", *has, " values: change the model's text, or set ", key,
                    "=0");
    }
  }
  if (found.empty())
    return okStatus();
  std::string text =
      concat(program.path(), " does not fit the data ", recipe.dataPath, " (", recipe.dataKind, "): ", found);
  if (lacking)
    text += concat("; set data.classes=", classes, " where the set only lacks the last labels");
  if (use == Use::evaluation)
    return invalidInput(text, lacking && found == ofClasses
                                  ? ""
                                  : "; a checkpoint is evaluated with the program that it was trained with, "
                                    "on images and classes as it was trained on");
  if (!fixed.empty())
    text += concat("; the model has no size named ", fixed, " to set: change its text");
  text += own;
  if (mended && !changes.empty())
    text += concat(lacking ? ", or" : ";", " compile it for this data: ", compileCommand(program, changes));
  return invalidInput(text);
}

Result<Session *> Evaluator::session(const fb::Entry &entry, size_t rows) {
  auto &session = sessions_[{&entry, rows}];
  if (!session) {
    MOERT_ASSIGN(session,
                 Session::open(program_, states_, device_, entry.name()->string_view(), {1, int64_t(rows)}));
  }
  return session.get();
}

std::span<const uint32_t> Evaluator::images(size_t domain, bool out) const {
  std::span<const uint32_t> all = out ? data_.splits[domain].out : data_.splits[domain].in;
  return recipe_.evalImages ? all.first(std::min<size_t>(all.size(), size_t(recipe_.evalImages))) : all;
}

Status Evaluator::checkBatches(const fb::Entry &entry) const {
  for (size_t domain = 0; domain < data_.set.domains(); ++domain)
    for (bool out : {false, true}) {
      const size_t all = images(domain, out).size(), batch = size_t(recipe_.evalBatch);
      for (size_t rows : {std::min(all, batch), all % batch})
        if (Status status = rows ? program_->checkCapacities(entry, {1, int64_t(rows)}) : okStatus();
            !status.ok())
          return {status.code(),
                  concat("evaluating the ", out ? "out" : "in", "-split of domain ", domain, ", ", all,
                         " images in batches of eval.batch = ", batch, ": ", status.message())};
    }
  return okStatus();
}

namespace {

/// Adds the numbers of rows that an output of the session counts.
Status addRows(const Session &session, std::string_view name, std::vector<int64_t> &sums, int64_t sign) {
  MOERT_ASSIGN(Tensor counts, session.output(name));
  if (counts.type != fb::ElementType::i32)
    return invalidInput("expected output '", name, "' to count in i32, found ", elementName(counts.type));
  std::span<const int32_t> values = counts.as<int32_t>();
  sums.resize(std::max(sums.size(), values.size()));
  for (size_t i = 0; i < values.size(); ++i)
    sums[i] += sign * values[i];
  return okStatus();
}

/// What follows the prefix; nothing where the name has another one.
std::optional<std::string> pathBehind(std::string_view prefix, std::string_view name) {
  return name.starts_with(prefix) ? std::optional(std::string(name.substr(prefix.size()))) : std::nullopt;
}

/// Adds what the session's entry reports of its routings for a batch of so many of all images.
Status addRoutings(const Session &session, double weight, Accuracy &accuracy) {
  size_t routing = 0, loss = 0;
  for (const fb::Port *port : *session.entry().outputs()) {
    if (port->exposed())
      continue;
    const std::string_view name = port->name()->string_view();
    if (auto path = pathBehind(kChosen, name)) {
      if (routing == accuracy.routings.size())
        accuracy.routings.push_back({*path, {}, {}});
      MOERT_TRY(addRows(session, name, accuracy.routings[routing++].chosen, 1));
    } else if (auto path = pathBehind(kRoutingLoss, name)) {
      if (loss == accuracy.losses.size())
        accuracy.losses.push_back({*path, 0});
      MOERT_ASSIGN(float value, session.scalarOutput(name));
      accuracy.losses[loss++].second += weight * double(value);
    }
  }
  // What an expert did not keep of the rows that chose it.
  for (const fb::Port *port : *session.entry().outputs())
    if (auto path = pathBehind(kKept, port->name()->string_view()); path && !port->exposed())
      for (ExpertRows &rows : accuracy.routings)
        if (rows.routing == *path) {
          MOERT_TRY(addRows(session, concat(kChosen, *path), rows.dropped, 1));
          MOERT_TRY(addRows(session, port->name()->string_view(), rows.dropped, -1));
        }
  return okStatus();
}

} // namespace

double droppedShare(std::span<const ExpertRows> routings) {
  int64_t chosen = 0, dropped = 0;
  for (const ExpertRows &each : routings) {
    for (int64_t rows : each.chosen)
      chosen += rows;
    for (int64_t rows : each.dropped)
      dropped += rows;
  }
  return chosen ? double(dropped) / double(chosen) : 0;
}

Result<std::optional<Accuracy>> Evaluator::accuracy(const fb::Entry &entry, size_t domain, bool out,
                                                    const std::atomic<bool> *stop) {
  std::span<const uint32_t> indices = images(domain, out);
  Accuracy accuracy;
  accuracy.images = indices.size();
  if (indices.empty())
    return std::optional(accuracy);
  MOERT_ASSIGN(std::string scores, scoresOutput(*program_, entry));
  SplitBatches batches(data_.set, domain, indices, size_t(recipe_.evalBatch), data_.domainLabel[domain]);
  Prefetch prefetch([&](uint64_t index, Batch &batch) { batches.fill(index, batch); }, 0, batches.count(),
                    int(recipe_.dataThreads));
  while (const Batch *batch = prefetch.next()) {
    if (stop && stop->load(std::memory_order_relaxed))
      return std::optional<Accuracy>();
    MOERT_ASSIGN(Session * session, this->session(entry, batch->rows()));
    MOERT_TRY(feed(*session, *batch));
    MOERT_TRY(session->run({}));
    MOERT_ASSIGN(Tensor output, session->output(scores));
    std::span<const float> values = output.as<float>();
    size_t classes = size_t(output.shape[1]);
    for (size_t row = 0; row < batch->rows(); ++row) {
      std::span<const float> of = values.subspan(row * classes, classes);
      if (std::all_of(of.begin(), of.end(), [](float score) { return std::isfinite(score); }))
        accuracy.right += std::max_element(of.begin(), of.end()) - of.begin() == batch->label[row];
      else
        ++accuracy.notFinite;
    }
    MOERT_TRY(addRoutings(*session, double(batch->rows()) / double(indices.size()), accuracy));
  }
  return std::optional(accuracy);
}

std::string notFiniteText(size_t domain, const std::string &name, const Accuracy &in, const Accuracy &out) {
  std::string text;
  for (auto [split, of] : {std::pair{"in", &in}, {"out", &out}})
    if (of->notFinite)
      text += concat(text.empty() ? "" : ", ", of->notFinite, " of ", of->images, " ", split);
  return text.empty() ? text : concat("\n  domain ", domain, " (", name, "): ", text);
}

} // namespace moert

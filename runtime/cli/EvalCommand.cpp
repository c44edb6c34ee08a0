// moert eval: accuracy by entry, domain and split.
#include "runtime/base/Printable.h"
#include "runtime/cli/Commands.h"
#include "runtime/cli/Notes.h"
#include "runtime/program/Names.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/Evaluate.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

namespace moert {
namespace {

using Json = nlohmann::ordered_json;

// What a checkpoint records: the recipe that it was trained with, which --recipe replaces, and its step.
// Beside a recipe, parameters from elsewhere will do, whose step nobody knows.
struct Trained {
  Recipe recipe;
  std::optional<uint64_t> step;
};

Result<Trained> trained(const EvalOptions &options, const CheckpointFiles &files, const Program &program) {
  auto checkpoint = files.state();
  std::optional<uint64_t> step;
  if (checkpoint.ok())
    step = checkpoint->run.step;
  if (!options.recipe.empty()) {
    MOERT_ASSIGN(Recipe recipe, Recipe::read(options.recipe, options.settings, &program));
    return Trained{std::move(recipe), step};
  }
  if (!checkpoint.ok())
    return std::move(checkpoint).status();
  MOERT_ASSIGN(Recipe recipe,
               Recipe::parse(checkpoint->recipe, checkpointFolder(options.checkpoint) + "/state.json",
                             options.settings, &program));
  return Trained{std::move(recipe), step};
}

size_t imagesOf(const std::vector<uint32_t> &split, const Recipe &recipe) {
  return recipe.evalImages ? std::min<size_t>(split.size(), size_t(recipe.evalImages)) : split.size();
}

// "images a split: 200 of 9334 in, all 120 out; --set eval.images=0 for all". Domains differ by an image at
// most.
std::string imagesText(const SplitData &data, const Recipe &recipe) {
  std::string text = "images a split:";
  bool limited = false;
  for (bool out : {false, true}) {
    const std::vector<uint32_t> &split = out ? data.splits[0].out : data.splits[0].in;
    size_t used = imagesOf(split, recipe);
    limited |= used < split.size();
    text += concat(out ? ", " : " ", used < split.size() ? concat(used, " of ") : "all ", split.size(),
                   out ? " out" : " in");
  }
  return limited ? text + "; --set eval.images=0 for all" : text;
}

/// What an entry makes of one split, by domain.
struct DomainResult {
  Accuracy in, out;
};

// "domain" and a column a name, at the widths of `rows`.
std::string line(const std::string &name, const std::vector<std::string> &cells, size_t width) {
  std::string text = name;
  text.resize(std::max<size_t>(text.size(), 17), ' ');
  for (const std::string &cell : cells)
    text += std::string(width > cell.size() ? width - cell.size() : 1, ' ') + cell;
  return text + "\n";
}

std::string percent(double share) {
  char text[32];
  snprintf(text, sizeof text, "%.2f", 100 * share);
  return text;
}

std::string domainName(const SplitData &data, size_t domain) {
  return concat(domain, "  ", data.set.name(domain), data.domainLabel[domain] < 0 ? " (held out)" : "");
}

/// The rows of both splits together.
ExpertRows together(const ExpertRows *in, const ExpertRows *out) {
  ExpertRows sum = in ? *in : *out;
  for (auto [into, from] : {std::pair(&sum.chosen, out && in ? &out->chosen : nullptr),
                            {&sum.dropped, out && in ? &out->dropped : nullptr}})
    for (size_t i = 0; from && i < into->size(); ++i)
      (*into)[i] += (*from)[i];
  return sum;
}

const ExpertRows *routingOf(const Accuracy &accuracy, size_t i) { // none of a split without images
  return i < accuracy.routings.size() ? &accuracy.routings[i] : nullptr;
}

// How many rows of each domain chose each expert, a table a routing; and what the routings' losses are.
std::string routingsText(const SplitData &data, const std::vector<DomainResult> &results) {
  std::string text;
  const DomainResult &first = results.front();
  for (size_t i = 0; i < std::max(first.in.routings.size(), first.out.routings.size()); ++i) {
    std::vector<std::pair<std::string, std::vector<std::string>>> rows;
    size_t width = 7;
    std::string routing;
    for (size_t domain = 0; domain < results.size(); ++domain) {
      const ExpertRows *in = routingOf(results[domain].in, i), *out = routingOf(results[domain].out, i);
      if (!in && !out)
        continue;
      const ExpertRows all = together(in, out);
      routing = all.routing;
      rows.push_back({domainName(data, domain), {}});
      for (int64_t count : all.chosen)
        rows.back().second.push_back(std::to_string(count));
      if (!all.dropped.empty())
        rows.back().second.push_back(percent(droppedShare(std::span(&all, 1))));
      if (rows.size() == 1) {
        rows.insert(rows.begin(), {"domain", {}});
        for (size_t k = 0; k < all.chosen.size(); ++k)
          rows.front().second.push_back(std::to_string(k));
        if (!all.dropped.empty())
          rows.front().second.push_back("dropped %");
      }
    }
    for (auto &row : rows)
      for (const std::string &cell : row.second)
        width = std::max(width, cell.size() + 2);
    text += concat("rows of routing ", routing, " that chose each expert (in and out):\n");
    for (auto &[name, cells] : rows)
      text += line(name, cells, width);
  }
  std::vector<std::pair<std::string, double>> sums;
  double images = 0;
  for (const DomainResult &each : results)
    for (const Accuracy *split : {&each.in, &each.out}) {
      images += split->losses.empty() ? 0 : double(split->images);
      for (size_t i = 0; i < split->losses.size(); ++i) {
        if (i == sums.size())
          sums.push_back({split->losses[i].first, 0});
        sums[i].second += split->losses[i].second * double(split->images);
      }
    }
  if (!sums.empty())
    text += "losses of routings without their weights, means over all images:\n";
  for (auto &[path, sum] : sums)
    text += concat("  ", path, "  ", sum / images, "\n");
  return text;
}

Json routingsJson(const DomainResult &result) {
  Json routings = Json::object();
  for (auto [split, accuracy] : {std::pair("in", &result.in), {"out", &result.out}})
    for (const ExpertRows &rows : accuracy->routings) {
      Json &routing = routings[rows.routing];
      routing[concat(split, "_chosen")] = rows.chosen;
      if (!rows.dropped.empty())
        routing[concat(split, "_dropped")] = rows.dropped;
    }
  return routings;
}

Json lossesJson(const DomainResult &result) {
  Json losses = Json::object();
  for (auto [split, accuracy] : {std::pair("in", &result.in), {"out", &result.out}})
    for (auto &[path, value] : accuracy->losses)
      losses[path][split] = value;
  return losses;
}

bool drops(const fb::Entry &entry) { return entry.capacities() && entry.capacities()->size(); }

// "entry main (dropless)", where the program has both.
std::string entryTitle(const Program &program, const fb::Entry &entry) {
  std::string title = concat("entry ", entry.name()->string_view());
  if (drops(entry))
    title += " (drops rows as training does)";
  else if (program.entry(kAsTrained).ok())
    title += " (dropless)";
  return title;
}

} // namespace

Status evalCommand(const EvalOptions &options) {
  MOERT_ASSIGN(auto device, openDevice(options.device));
  MOERT_ASSIGN(auto program, Program::load(options.program));
  MOERT_TRY(device->chooseTarget(*program).status()); // before anything is printed
  MOERT_ASSIGN(CheckpointFiles files, CheckpointFiles::open(options.checkpoint));
  MOERT_ASSIGN(Trained from, trained(options, files, *program));
  const Recipe &recipe = from.recipe;
  std::vector<const fb::Entry *> entries;
  for (const std::string &name : options.entries) {
    MOERT_ASSIGN(const fb::Entry *entry, inferenceEntry(*program, name));
    entries.push_back(entry);
  }
  if (entries.empty())
    for (const fb::Entry *entry : *program->table().entries())
      if (entry->kind() == fb::EntryKind::infer && scoresOutput(*program, *entry).ok())
        entries.push_back(entry);
  MOERT_ASSIGN(SplitData data, SplitData::open(recipe, [&](const SplitData &described) {
                 return checkFits(*program, described, recipe, Use::evaluation);
               }));
  MOERT_ASSIGN(auto states, States::create(program, device, 0));
  MOERT_TRY(files.loadParameters(*states));
  MOERT_TRY(noteParameters(options.checkpoint, *states).status());
  Evaluator evaluator(program, states, device, data, recipe);

  Json report = {{"program", options.program},
                 {"checkpoint", options.checkpoint},
                 {"step", from.step ? Json(*from.step) : Json()},
                 {"entries", Json::array()}};
  if (!options.json)
    print(stdout, concat("checkpoint ", options.checkpoint, from.step ? concat(", step ", *from.step) : "",
                         "\n", imagesText(data, recipe), "\n"));
  for (const fb::Entry *entry : entries) {
    MOERT_TRY(checkInputs(*program, *entry));
    MOERT_TRY(evaluator.checkBatches(*entry));
  }
  for (const fb::Entry *entry : entries) {
    Json domains = Json::array();
    std::string notFinite;
    std::vector<DomainResult> results;
    std::vector<std::string> columns{"in %", "out %"};
    if (drops(*entry))
      columns.insert(columns.end(), {"in drop %", "out drop %"});
    const size_t width = drops(*entry) ? 11 : 7;
    if (!options.json)
      print(stdout, entryTitle(*program, *entry) + "\n" + line("domain", columns, width));
    for (size_t domain = 0; domain < data.set.domains(); ++domain) {
      MOERT_ASSIGN(std::optional<Accuracy> in, evaluator.accuracy(*entry, domain, false));
      MOERT_ASSIGN(std::optional<Accuracy> out, evaluator.accuracy(*entry, domain, true));
      notFinite += notFiniteText(domain, data.set.name(domain), *in, *out);
      domains.push_back({{"domain", domain},
                         {"name", data.set.name(domain)},
                         {"held_out", data.domainLabel[domain] < 0},
                         {"in_acc", in->share()},
                         {"out_acc", out->share()},
                         {"in_not_finite", in->notFinite},
                         {"out_not_finite", out->notFinite},
                         {"in_images", in->images},
                         {"in_split", data.splits[domain].in.size()},
                         {"out_images", out->images},
                         {"out_split", data.splits[domain].out.size()}});
      results.push_back({*std::move(in), *std::move(out)});
      const DomainResult &result = results.back();
      std::vector<std::string> cells{percent(result.in.share()), percent(result.out.share())};
      if (drops(*entry)) {
        const double inDropped = droppedShare(result.in.routings),
                     outDropped = droppedShare(result.out.routings);
        cells.insert(cells.end(), {percent(inDropped), percent(outDropped)});
        domains.back()["in_dropped"] = inDropped;
        domains.back()["out_dropped"] = outDropped;
      }
      if (Json routings = routingsJson(result); !routings.empty())
        domains.back()["routings"] = std::move(routings);
      if (Json losses = lossesJson(result); !losses.empty())
        domains.back()["routing_losses"] = std::move(losses);
      if (!options.json) {
        print(stdout, line(domainName(data, domain), cells, width));
        fflush(stdout);
      }
    }
    if (!options.json)
      print(stdout, routingsText(data, results));
    if (!options.json && !notFinite.empty())
      print(stdout, concat("note: ", kNotFiniteNote, notFinite, "\n"));
    report["entries"].push_back({{"entry", entry->name()->str()}, {"domains", domains}});
  }
  if (options.json)
    puts(report.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  return okStatus();
}

} // namespace moert

// moert eval: accuracy by entry, domain and split.
#include "runtime/base/Printable.h"
#include "runtime/cli/Commands.h"
#include "runtime/cli/Notes.h"
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
    Json domains = Json::array();
    std::string notFinite;
    MOERT_TRY(checkInputs(*program, *entry));
    if (!options.json)
      print(stdout, concat("entry ", entry->name()->string_view(), "\ndomain              in %  out %\n"));
    for (size_t domain = 0; domain < data.set.domains(); ++domain) {
      bool held = data.domainLabel[domain] < 0;
      MOERT_ASSIGN(std::optional<Accuracy> in, evaluator.accuracy(*entry, domain, false));
      MOERT_ASSIGN(std::optional<Accuracy> out, evaluator.accuracy(*entry, domain, true));
      notFinite += notFiniteText(domain, data.set.name(domain), *in, *out);
      domains.push_back({{"domain", domain},
                         {"name", data.set.name(domain)},
                         {"held_out", held},
                         {"in_acc", in->share()},
                         {"out_acc", out->share()},
                         {"in_not_finite", in->notFinite},
                         {"out_not_finite", out->notFinite},
                         {"in_images", in->images},
                         {"in_split", data.splits[domain].in.size()},
                         {"out_images", out->images},
                         {"out_split", data.splits[domain].out.size()}});
      if (!options.json) {
        std::string name = concat(domain, "  ", data.set.name(domain), held ? " (held out)" : "");
        printf("%-17s%7.2f%7.2f\n", name.c_str(), 100 * in->share(), 100 * out->share());
        fflush(stdout);
      }
    }
    if (!options.json && !notFinite.empty())
      print(stdout, concat("note: ", kNotFiniteNote, notFinite, "\n"));
    report["entries"].push_back({{"entry", entry->name()->str()}, {"domains", domains}});
  }
  if (options.json)
    puts(report.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  return okStatus();
}

} // namespace moert

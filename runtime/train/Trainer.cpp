#include "runtime/train/Trainer.h"

#include "runtime/base/Files.h"
#include "runtime/program/Names.h"
#include "runtime/train/Checkpoint.h"
#include "runtime/train/CompileCommand.h"
#include "runtime/train/DataDigest.h"
#include "runtime/train/Evaluate.h"
#include "runtime/train/Feed.h"
#include "runtime/train/InitLoad.h"
#include "runtime/train/Progress.h"
#include "runtime/train/RunFolder.h"
#include "runtime/train/StepTimes.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sha2.h>
#include <sys/resource.h>

namespace moert {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string sha256(const std::string &text) {
  char digest[SHA256_DIGEST_STRING_LENGTH];
  SHA256Data(reinterpret_cast<const uint8_t *>(text.data()), text.size(), digest);
  return digest;
}

double peakGigabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / (1 << 20);
}

// How evenly a batch uses the experts: exp(entropy of what each has of all gates, or of all pairs) over their number. 1: all
// alike; 1/K: one alone; NaN where a gate is.
double evenness(std::span<const float> gates) {
  double entropy = 0;
  for (float gate : gates)
    if (!(gate <= 0)) // 0 log 0 is 0; NaN goes in
      entropy -= double(gate) * std::log(double(gate));
  return std::exp(entropy) / double(std::max<size_t>(gates.size(), 1));
}

// The accuracies of one evaluation, by domain.
struct DomainAccuracy {
  Accuracy in, out;
};
using Table = std::vector<DomainAccuracy>;

// The outputs of a training step that report a routing.
struct RoutingOutputs {
  std::string path, balance;
  std::optional<std::string> dropped; // where it drops rows
};

std::vector<RoutingOutputs> routingOutputs(const fb::Entry &entry) {
  std::vector<RoutingOutputs> routings;
  for (const fb::Port *port : *entry.outputs()) {
    std::string name = port->name()->str();
    if (name.starts_with(kGateBalance))
      routings.push_back({name.substr(kGateBalance.size()), name, {}});
  }
  for (const fb::Port *port : *entry.outputs())
    for (RoutingOutputs &each : routings)
      if (port->name()->string_view() == concat(kDropped, each.path))
        each.dropped = port->name()->str();
  return routings;
}

class Run {
public:
  Run(const TrainOptions &options) : options_(options) {}
  Result<TrainEnd> run();

private:
  Status open();
  Status openData();
  Status openSession(); // and what evaluates
  Status bind();        // the recipe to the program
  /// Why the recipe of a run that is resumed does not fit the program: first of all, that it is another one.
  Status ofProgram(Status why) const;
  Status resume(); // where a checkpoint stands; a refusal leaves the run as it was
  void noteOtherData(const Checkpoint &last);
  void noteLostDigest();
  /// Opens the file that the recipe takes weights from, if it names one, and decides what goes where.
  Status openInit();
  Status loadInit();
  Status announce();
  void announceInit();
  Status step(Prefetch &batches);
  Status addRoutings(Progress::Line &line);
  /// Submits as many steps as may be in flight beside the one that `step` collects.
  void submit(Prefetch &batches);
  std::optional<double> learningRate() const;
  Result<bool> evaluate(); // false: stopped meanwhile
  Json metricsLine() const;
  void lineWritten(); // of metrics: the next means begin
  Status log();
  // A line that could not be written left its sums: after one that was written there are none.
  bool logPending() const {
    return state_.summed && !state_.pendingEvaluation && !due(recipe_.evalEvery) && due(recipe_.logEvery);
  }
  Status save(const std::string &folder);
  Status saveLast();
  /// The failure of a step or an evaluation after `last` was saved: what is in memory is the last good state.
  Status saveAndFail(Status why);
  /// The failure of the device, with what was being done.
  Status failWithDevice(std::string_view what, Status why) const;
  std::string resumeCommand() const;
  /// The same for a failure to write into the run's folder: where the folder has lost its name, `why` says so
  /// already, and nothing can be saved there.
  Status failInFolder(Status why);
  Result<TrainEnd> stopHere();
  Status finish();
  Status close(); // says which step was best, and marks the run as done
  bool stopped() const { return options_.stop && options_.stop->load(std::memory_order_relaxed); }
  // DomainBed's rhythm: after steps 0, every, 2 * every, ... and after the last one. 0: never.
  bool due(int64_t every) const { return due(every, state_.step); }
  bool due(int64_t every, uint64_t step) const {
    return every && ((step - 1) % uint64_t(every) == 0 || step == uint64_t(recipe_.steps));
  }
  int64_t saveEvery() const { return recipe_.checkpointEvery ? recipe_.checkpointEvery : recipe_.evalEvery; }
  std::string tableText(const Table &table) const;
  /// Whether the run is weights from a file alone, as a checkpoint: no image is looked at then.
  bool withoutData() const { return recipe_.steps == 0 && !recipe_.initFile.empty(); }
  size_t batchRows() const { return data_->training.size() * size_t(recipe_.batchPerDomain); }

  const TrainOptions &options_;
  Recipe recipe_;
  std::string recipeText_;
  std::shared_ptr<const Program> program_;
  const fb::Entry *trainEntry_ = nullptr, *evalEntry_ = nullptr;
  std::unique_ptr<SplitData> data_;
  std::optional<DataDigest> dataDigest_;
  std::shared_ptr<States> states_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Evaluator> evaluator_;
  std::optional<RunFolder> folder_;
  RunState state_;
  std::vector<std::string> losses_; // outputs "loss", "loss.<part>"
  std::vector<RoutingOutputs> routings_;
  std::optional<Table> latest_;
  Progress progress_;
  StepTimes times_;
  double perEvaluation_ = 0;         // seconds, of the latest
  std::string target_;               // of the program, which the device runs: name and level
  Status unsubmitted_;               // why no step can be submitted any more
  double began_ = 0;                 // the first step of this process, in seconds from its start
  std::optional<InitFile> init_;     // that the first values come from
  std::optional<InitNote> initNote_; // what checkpoints record of it
  std::string notFinite_;            // what is to be said of its values
  bool digestNoted_ = false;
  bool first_ = true;
  bool loaded_ = false; // from a checkpoint
};

Status Run::open() {
  if (options_.resume && !options_.init.empty())
    return usageError("expected --init or --resume, found both: a run that is resumed goes on from its own "
                      "checkpoint; to start from other weights, begin a run with another --out");
  MOERT_TRY(RunFolder::check(options_.out, options_.resume));
  MOERT_ASSIGN(device_, openDevice(options_.device));
  MOERT_ASSIGN(program_, Program::load(options_.program));
  bool again = options_.resume && options_.recipe.empty() && exists(RunFolder::recipePath(options_.out));
  MOERT_ASSIGN(recipe_, Recipe::read(again ? RunFolder::recipePath(options_.out) : options_.recipe,
                                     options_.settings, program_.get()));
  if (options_.seed)
    recipe_.seed = *options_.seed;
  if (options_.steps)
    recipe_.steps = *options_.steps;
  if (!options_.init.empty())
    recipe_.initFile = options_.init;
  if (Status bound = bind(); !bound.ok())
    return ofProgram(std::move(bound));
  MOERT_TRY(checkInputs(*program_, *trainEntry_));
  if (!options_.resume)
    MOERT_TRY(openInit());
  if (!withoutData())
    MOERT_TRY(openData());
  for (const fb::Port *port : *trainEntry_->outputs()) {
    std::string name = port->name()->str();
    if (name == "loss" || name.starts_with("loss."))
      losses_.push_back(name);
  }
  routings_ = routingOutputs(*trainEntry_);

  MOERT_ASSIGN(uint32_t target, device_->chooseTarget(*program_));
  const fb::Target &row = *program_->table().targets()->Get(target);
  target_ = concat(row.name()->string_view(), " ", row.level()->string_view());
  MOERT_ASSIGN(states_, States::create(program_, device_, uint64_t(recipe_.seed)));
  if (!withoutData())
    MOERT_TRY(openSession());

  if (!options_.resume) {
    MOERT_TRY(loadInit());
    MOERT_ASSIGN(folder_, RunFolder::create(options_.out, recipe_));
    return okStatus();
  }
  MOERT_ASSIGN(folder_, RunFolder::reopen(options_.out, recipe_, *program_));
  MOERT_TRY(resume());
  return folder_->keep(recipe_);
}

Status Run::openData() {
  MOERT_ASSIGN(SplitData data, SplitData::open(recipe_, [&](const SplitData &described) {
                 return checkFits(*program_, described, recipe_, Use::training);
               }));
  data_ = std::make_unique<SplitData>(std::move(data));
  dataDigest_.emplace(data_->set);
  if (options_.resume) // compared before the first step; else no step waits for it
    dataDigest_->begin();
  return okStatus();
}

Status Run::openSession() {
  Session::Options sessionOptions;
  sessionOptions.seed = uint64_t(recipe_.seed);
  sessionOptions.poison = options_.poison;
  sessionOptions.trapNan = options_.trapNan;
  if (!options_.trapNan &&
      !device_->waitsForLaunches()) // what they say is of the step that is collected next
    sessionOptions.stepsInFlight = device_->stepsInFlight();
  Binding binding{int64_t(data_->training.size()), recipe_.batchPerDomain};
  MOERT_ASSIGN(session_, Session::open(program_, states_, device_, trainEntry_->name()->string_view(),
                                       binding, sessionOptions));
  for (auto &[key, value] : recipe_.scalars)
    MOERT_TRY(session_->setScalar(key, value));
  evaluator_ = std::make_unique<Evaluator>(program_, states_, device_, *data_, recipe_);
  if (recipe_.evalEvery) // not only when the first evaluation comes to it
    MOERT_TRY(evaluator_->checkBatches(*evalEntry_));
  return okStatus();
}

Status Run::bind() {
  MOERT_TRY(recipe_.bind(*program_));
  recipeText_ = recipe_.text();
  MOERT_ASSIGN(trainEntry_, trainingEntry(*program_, recipe_.objective));
  // What a step that was left out says, and that it changed nothing, holds for one update.
  if (trainEntry_->updates()->size() != 1)
    return invalidInput(program_->path(), ": entry '", trainEntry_->name()->str(),
                        "': expected one update to train by, found ", trainEntry_->updates()->size());
  MOERT_ASSIGN(evalEntry_, judgingEntry(*program_, recipe_.evalEntry));
  return okStatus();
}

Status Run::ofProgram(Status why) const {
  if (!options_.resume)
    return why;
  auto last = readCheckpointState(options_.out + "/last");
  if (!last.ok() || last->programDigest == program_->digest())
    return why;
  // Another compilation that takes the run's own recipe is welcome: then what was changed in it is to blame.
  auto before = Recipe::read(RunFolder::recipePath(options_.out), {});
  if (!before.ok() || (before->bind(*program_).ok() && trainingEntry(*program_, before->objective).ok() &&
                       judgingEntry(*program_, before->evalEntry).ok()))
    return why;
  return {why.code(),
          concat(options_.program, ": expected the program that the run in ", options_.out,
                 " was trained with (", last->programDigest.substr(0, 12), "), found another one (",
                 program_->digest().substr(0, 12), "), which does not fit: ", why.message())};
}

Status Run::resume() {
  const std::string last = folder_->last(), best = folder_->best();
  auto orBest = [&]() -> std::string { // it helps only where this program can take it
    auto loaded = loadCheckpoint(best, *states_);
    return loaded.ok() ? concat("; to go on from step ", loaded->run.step, " instead, put a copy of ", best,
                                " in the place of ", last)
                       : "";
  };
  if (isAbsent(last) && isAbsent(previousFolder(last))) {
    // The first step saves `best` before `last`, so a run that was killed between them has `best` alone. Any
    // later one has lost its `last`, and from the first step on it would write over `best` and metrics.
    if (exists(checkpointFolder(best))) {
      auto first = readCheckpointState(best);
      MOERT_ASSIGN(bool later, folder_->hasMetricsAfter(1));
      if (!first.ok() || first->run.step > 1 || later) {
        std::string instead = orBest();
        return invalidInput(last, ": expected the checkpoint to resume from, found none, although ", best,
                            " is there", instead.empty() ? "; start a new run with another --out" : instead);
      }
    }
    MOERT_TRY(openInit());
    MOERT_TRY(loadInit());
    progress_.say(concat(options_.out, " has no checkpoint yet: starting from the first step"));
    MOERT_TRY(folder_->unmarkDone());
    return folder_->truncateMetrics(0);
  }
  auto loaded = loadCheckpoint(last, *states_);
  if (!loaded.ok())
    return {loaded.status().code(), concat(loaded.status().message(), orBest())};
  const Checkpoint &checkpoint = *loaded;
  if (checkpoint.programDigest != program_->digest())
    progress_.say(
        concat("note: the run was started with another compilation of the program; it continues, but not bit "
               "for bit (",
               checkpoint.programDigest.substr(0, 12), " then, ", program_->digest().substr(0, 12), " now)"));
  if (!checkpoint.target.empty() && checkpoint.target != target_)
    progress_.say(concat("note: the last checkpoint was trained by code for another target; it continues, "
                         "but not bit for bit (",
                         checkpoint.target, " then, ", target_, " now)"));
  if (checkpoint.recipeDigest !=
      sha256(recipeText_)) { // recipe.toml was edited, or the run was given more steps
    MOERT_ASSIGN(Recipe before, Recipe::parse(checkpoint.recipe, folder_->last() + "/state.json", {}));
    MOERT_TRY(before.bind(*program_));
    if (auto lines = differences(before, recipe_, {"train.steps"}); !lines.empty())
      return invalidInput(folder_->last(), ": expected the recipe that the checkpoint was trained with; ",
                          lines[0], lines.size() > 1 ? concat(" and ", lines.size() - 1, " more") : "");
  }
  state_ = checkpoint.run;
  initNote_ = checkpoint.init;
  loaded_ = true;
  if (state_.step > uint64_t(recipe_.steps))
    return invalidInput(folder_->last(), ": expected at most train.steps = ", recipe_.steps,
                        " steps done, found ", state_.step);
  if (state_.step < uint64_t(recipe_.steps) || state_.pendingEvaluation) {
    MOERT_TRY(folder_->unmarkDone());
    noteOtherData(checkpoint);
  }
  // Sums that a line of this step has not cleared: it is still to be written, or was not whole.
  return folder_->truncateMetrics(state_.summed ? state_.step - 1 : state_.step);
}

// `last` and `best` may be of different data where a run has been resumed on other data before.
void Run::noteOtherData(const Checkpoint &last) {
  const std::string &now = dataDigest_->text();
  auto other = [&](const std::string &then) { return !then.empty() && !now.empty() && then != now; };
  noteLostDigest();
  auto best = readCheckpointState(folder_->best());
  std::string score = best.ok() && other(best->dataDigest)
                          ? concat("best, of step ", best->run.step,
                                   ", keeps its score on other data until a step has a higher one")
                          : "";
  if (other(last.dataDigest))
    progress_.say(concat("note: the run has trained on other data than ", recipe_.dataPath,
                         " holds; it continues, but not bit for bit (", last.dataDigest.substr(0, 12),
                         " then, ", now.substr(0, 12), " now)", score.empty() ? "" : "; ", score));
  else if (!score.empty())
    progress_.say(concat("note: ", score));
}

// Once a process: each save tries again.
void Run::noteLostDigest() {
  if (digestNoted_ || !dataDigest_ || !dataDigest_->text().empty())
    return;
  digestNoted_ = true;
  progress_.say(concat("note: the data could not be read again for its digest (",
                       dataDigest_->failure().message(),
                       "); without it a run that is resumed on other data is not told so"));
}

Status Run::openInit() {
  if (recipe_.initFile.empty())
    return okStatus();
  MOERT_ASSIGN(init_, InitFile::open(recipe_.initFile, *program_, recipe_));
  return okStatus();
}

Status Run::loadInit() {
  if (!init_)
    return okStatus();
  MOERT_ASSIGN(InitFile::Loaded loaded, init_->load(*states_));
  initNote_ = std::move(loaded.note);
  notFinite_ = std::move(loaded.notFinite);
  return okStatus();
}

void Run::announceInit() {
  if (init_) {
    progress_.say(concat("weights from ", initNote_->file, " (SHA-256 ", initNote_->digest,
                         "):", init_->describe(*program_), "\n"));
    if (!notFinite_.empty())
      progress_.say(concat("note: ", notFinite_));
  } else if (!loaded_ && recipe_.initFile.empty() && !recipe_.initMap.empty()) {
    progress_.say("note: the recipe has [init.map], but nothing is taken from a file; give one with --init");
  }
}

Status Run::announce() {
  if (withoutData())
    progress_.say(concat(program_->name(), ": no steps; run in ", options_.out));
  else
    progress_.say(concat(program_->name(), ": ", batchRows(), " images a step (", data_->training.size(),
                         " domains of ", recipe_.batchPerDomain, ")", device_->threadsText(), ", ",
                         session_->memory().total() >> 20, " MiB; run in ", options_.out));
  progress_.say(recipeText_);
  announceInit();
  if (state_.step)
    progress_.say(concat("resuming at step ", state_.step, " of ", recipe_.steps));
  return okStatus();
}

// Whatever is written behind a step (an evaluation, a checkpoint, a line of metrics) is of the states and sums
// that it left, also where writing fails. So no step is submitted behind such a one; nor behind a signal to
// stop, or where a step could not be submitted.
void Run::submit(Prefetch &batches) {
  while (session_->inFlight() < session_->mostInFlight() && unsubmitted_.ok()) {
    const uint64_t done = state_.step + uint64_t(session_->inFlight());
    const bool first = session_->inFlight() == 0;
    if (done == uint64_t(recipe_.steps) ||
        (!first && (stopped() || due(recipe_.evalEvery, done) || due(saveEvery(), done) ||
                    due(recipe_.logEvery, done))))
      break;
    const Batch *batch = batches.next();
    unsubmitted_ = batch ? feed(*session_, *batch) : internalError("the loader ended before the run");
    if (first_ && first)
      began_ = secondsSince(options_.started);
    if (unsubmitted_.ok()) // a failure names the step, and has undone it
      unsubmitted_ = session_->submit({done, double(done) / double(recipe_.steps)});
  }
}

Status Run::step(Prefetch &batches) {
  auto start = Clock::now();
  submit(batches);
  if (session_->inFlight() == 0)
    return saveAndFail(std::move(unsubmitted_));
  if (Status ran = session_->collect(); !ran.ok())
    return saveAndFail(std::move(ran));
  const fb::Port *predicate = trainEntry_->outputs()->Get(trainEntry_->updates()->Get(0)->predicate());
  MOERT_ASSIGN(float updated, session_->scalarOutput(predicate->name()->string_view()));
  MOERT_ASSIGN(float loss, session_->scalarOutput("loss"));
  if (first_)
    progress_.say(concat("first step done: began ", std::round(began_ * 1e4) / 1e4,
                         " s after the process, took ",
                         std::round((secondsSince(options_.started) - began_) * 1e4) / 1e4, " s"));
  if (updated == 0) {
    return saveAndFail(invalidInput("step ", state_.step + 1,
                                    ": the loss or its gradient is not finite, or the sum of the gradient's "
                                    "squares is too large for 32 bits (loss ",
                                    double(loss),
                                    "); nothing was changed by this step; lower optimizer.lr in a run with a "
                                    "new --out, or see where it starts with --resume --trap-nan"));
  }
  Progress::Line line{state_.step + 1, uint64_t(recipe_.steps), loss, {}, {}, {}, {}, 0, 0};
  for (const std::string &name : losses_) {
    MOERT_ASSIGN(float value, session_->scalarOutput(name));
    state_.sums[name] += double(value);
    if (name.starts_with("loss."))
      line.parts.push_back({name.substr(5), value});
  }
  MOERT_TRY(addRoutings(line));
  ++state_.summed;
  ++state_.step;
  if (first_) {
    first_ = false;
    dataDigest_->begin();
  }
  times_.add(secondsSince(start));
  std::optional<double> perStep = times_.mean();
  if (!perStep)
    return okStatus();
  line.imagesPerSecond = double(batchRows()) / *perStep;
  line.remaining = secondsLeft(state_.step, uint64_t(recipe_.steps), uint64_t(recipe_.evalEvery), *perStep,
                               perEvaluation_);
  line.rate = learningRate();
  progress_.show(line);
  return okStatus();
}

// Adds how the step's batch was routed to the sums; the line shows the least even routing, and the largest share of rows
// that one has dropped.
Status Run::addRoutings(Progress::Line &line) {
  for (const RoutingOutputs &routing : routings_) {
    MOERT_ASSIGN(Tensor gates, session_->output(routing.balance));
    const double balance = evenness(gates.as<float>());
    state_.sums[routing.balance] += balance;
    for (size_t k = 0; k < size_t(gates.elements()); ++k)
      state_.sums[concat("gate.", routing.path, ".", k)] += double(gates.as<float>()[k]);
    if (!line.gateBalance || std::isnan(balance) || balance < *line.gateBalance)
      line.gateBalance = balance;
    if (!routing.dropped)
      continue;
    MOERT_ASSIGN(float dropped, session_->scalarOutput(*routing.dropped));
    state_.sums[*routing.dropped] += double(dropped);
    line.dropped = std::max(line.dropped.value_or(0), double(dropped));
  }
  return okStatus();
}

std::optional<double> Run::learningRate() const {
  for (auto &[key, value] : recipe_.scalars)
    if (key == "optimizer.lr")
      return value;
  return std::nullopt;
}

// The losses' means since the previous line, by DomainBed's keys.
Json Run::metricsLine() const {
  size_t smallest = SIZE_MAX;
  for (size_t domain : data_->training)
    smallest = std::min(smallest, data_->splits[domain].in.size());
  Json line = {{"step", state_.step},
               {"epoch", double(state_.step) * double(recipe_.batchPerDomain) / double(smallest)}};
  for (auto &[name, sum] : state_.sums)
    line[name] = sum / double(std::max<uint64_t>(state_.summed, 1));
  if (auto rate = learningRate())
    line["lr"] = *rate;
  std::optional<double> stepTime = times_.mean();
  line["step_time"] = stepTime ? Json(*stepTime) : Json();
  line["images_per_s"] = stepTime && *stepTime > 0 ? Json(double(batchRows()) / *stepTime) : Json();
  line["mem_gb"] = peakGigabytes();
  return line;
}

Status Run::log() {
  MOERT_TRY(folder_->appendMetrics(metricsLine().dump()));
  lineWritten();
  return okStatus();
}

void Run::lineWritten() {
  state_.sums.clear();
  state_.summed = 0;
  times_.restart();
}

Result<bool> Run::evaluate() {
  times_.pause();
  auto before = Clock::now();
  Json line = metricsLine();
  Table table;
  for (size_t domain = 0; domain < data_->set.domains(); ++domain) {
    DomainAccuracy measured;
    for (bool out : {false, true}) {
      progress_.note(
          concat("step ", state_.step, "  evaluating domain ", domain + 1, " of ", data_->set.domains()));
      auto accuracy = evaluator_->accuracy(*evalEntry_, domain, out, options_.stop);
      if (!accuracy.ok())
        return saveAndFail(std::move(accuracy).status());
      if (!*accuracy)
        return false;
      (out ? measured.out : measured.in) = **accuracy;
    }
    table.push_back(measured);
  }
  latest_ = table;
  double score = 0;
  for (size_t domain : data_->training)
    score += table[domain].out.share() / double(data_->training.size());

  std::string notFinite;
  for (size_t domain = 0; domain < table.size(); ++domain) {
    auto &[in, out] = table[domain];
    line[concat("env", domain, "_in_acc")] = in.share();
    line[concat("env", domain, "_out_acc")] = out.share();
    if (in.notFinite)
      line[concat("env", domain, "_in_not_finite")] = in.notFinite;
    if (out.notFinite)
      line[concat("env", domain, "_out_not_finite")] = out.notFinite;
    notFinite += notFiniteText(domain, data_->set.name(domain), in, out);
  }
  line["score"] = score;
  if (Status written = folder_->appendMetrics(line.dump()); !written.ok())
    return failInFolder(std::move(written)); // with the evaluation pending, which --resume does again
  double loss = state_.sums["loss"] / double(std::max<uint64_t>(state_.summed, 1));
  std::string text = concat("step ", state_.step, "  mean loss ", loss, "  accuracy out: ");
  for (size_t domain = 0; domain < table.size(); ++domain)
    text += concat(domain ? "  " : "", data_->set.name(domain), data_->domainLabel[domain] < 0 ? "* " : " ",
                   std::round(table[domain].out.share() * 1e4) / 1e2, "%");
  progress_.say(concat(text, "  (", durationText(secondsSince(before)), ")"));
  if (!notFinite.empty())
    progress_.say(concat("note: ", kNotFiniteNote, notFinite));

  RunState pending = state_;
  lineWritten();
  state_.pendingEvaluation = false;
  if (score > state_.bestScore) {
    state_.bestScore = score;
    state_.bestStep = state_.step;
    if (Status saved = save(folder_->best()); !saved.ok()) {
      state_ = std::move(pending); // --resume takes the line back, evaluates again, and then has its best
      return failInFolder(std::move(saved));
    }
  }
  perEvaluation_ = secondsSince(before);
  return true;
}

Status Run::save(const std::string &folder) {
  if (session_ && session_->inFlight() != 0)
    return internalError("a checkpoint was asked for while a step is in flight");
  MOERT_TRY(folder_->stands()); // else a folder without a recipe would appear
  Status status = saveCheckpoint(folder, *states_,
                                 {state_, program_->digest(), sha256(recipeText_), recipeText_,
                                  dataDigest_ ? dataDigest_->text() : "", target_, initNote_});
  noteLostDigest();
  if (status.ok())
    return status;
  return {status.code(), concat(status.message(), "; then continue with --resume")};
}

// A checkpoint must not outlast the lines of metrics of its steps, yet it is worth more than they are.
Status Run::saveLast() {
  times_.pause();
  Status flushed = folder_->flushMetrics();
  if (Status saved = save(folder_->last()); !saved.ok())
    return device_->failure().ok() ? saved
                                   : failWithDevice(concat("saving step ", state_.step), std::move(saved));
  if (flushed.ok())
    return flushed;
  return {flushed.code(), concat(flushed.message(), "; a power failure may lose lines of it; ",
                                 folder_->last(), " is saved: continue with --resume")};
}

std::string Run::resumeCommand() const {
  return concat("moert train ", shellWord(options_.program), " --out ", shellWord(options_.out), " --resume",
                deviceWords(options_.device));
}

// The states are lost with the device's memory.
Status Run::failWithDevice(std::string_view what, Status why) const {
  std::string more = exists(folder_->last()) ? concat("; the last checkpoint is ", folder_->last())
                                             : std::string("; there is no checkpoint yet");
  if (!device_->waitsForLaunches())
    more += concat("\nto go on in a new process, run: ", resumeCommand(), " --wait-launches");
  return {why.code(), concat(what, ": ", why.message(), more)};
}

Status Run::saveAndFail(Status why) {
  if (!device_->failure().ok()) {
    // Work is in flight, so the step that failed is known only where each launch is waited for.
    const std::string what = state_.pendingEvaluation ? concat("the evaluation behind step ", state_.step)
                             : device_->waitsForLaunches()
                                 ? concat("step ", state_.step + 1)
                                 : concat("step ", state_.step + 1, " or the one behind it");
    return failWithDevice(what, std::move(why));
  }
  Status saved = save(folder_->last());
  std::string before = state_.step == 0   ? "the initial values"
                       : state_.step == 1 ? "the good step before"
                                          : concat("the ", state_.step, " good steps before");
  std::string more = saved.ok() ? concat("; ", folder_->last(), " holds ", before)
                                : concat("\nand ", before, " could not be saved safely: ", saved.message());
  return {why.code(), why.message() + more};
}

Status Run::failInFolder(Status why) { return folder_->stands().ok() ? saveAndFail(std::move(why)) : why; }

Result<TrainEnd> Run::stopHere() {
  MOERT_TRY(saveLast());
  progress_.say(concat("stopped after step ", state_.step, " of ", recipe_.steps, "; saved ", folder_->last(),
                       "\ncontinue with: ", resumeCommand()));
  return TrainEnd::stopped;
}

std::string Run::tableText(const Table &table) const {
  auto percent = [](double share) {
    char text[16];
    snprintf(text, sizeof text, "%7.2f", 100 * share);
    return std::string(text);
  };
  std::string text = "domain              in %  out %\n";
  for (size_t domain = 0; domain < table.size(); ++domain) {
    std::string name =
        concat(domain, "  ", data_->set.name(domain), data_->domainLabel[domain] < 0 ? " (held out)" : "");
    name.resize(std::max<size_t>(name.size(), 17), ' ');
    text += concat(name, percent(table[domain].in.share()), percent(table[domain].out.share()), "\n");
  }
  return text;
}

Status Run::finish() {
  if (latest_)
    progress_.say(concat("\nafter ", state_.step, " steps (last):\n", tableText(*latest_)));
  else
    progress_.say(concat("all ", recipe_.steps, " steps are done; no evaluation was due"));
  return close();
}

Status Run::close() {
  for (const std::string &folder : {folder_->last(), folder_->best()})
    MOERT_TRY(tidyCheckpoint(folder));
  if (state_.bestScore < 0)
    return folder_->markDone();
  char score[16];
  snprintf(score, sizeof score, "%.2f", 100 * state_.bestScore);
  progress_.say(concat("best: step ", state_.bestStep, ", mean out-split accuracy of the training domains ",
                       score, " %, ",
                       exists(checkpointFolder(folder_->best()))
                           ? concat("in ", folder_->best())
                           : concat("whose checkpoint ", folder_->best(), " is not there any more")));
  return folder_->markDone();
}

Result<TrainEnd> Run::run() {
  MOERT_TRY(open());
  if (loaded_ && logPending())
    MOERT_TRY(log());
  if (loaded_ && state_.step == uint64_t(recipe_.steps) && !state_.pendingEvaluation) {
    progress_.say(concat(options_.out, ": all ", recipe_.steps,
                         " steps are done; --resume --steps M, with M above ", recipe_.steps, ", continues"));
    MOERT_TRY(close());
    return TrainEnd::finished;
  }
  if (withoutData()) {
    MOERT_TRY(announce());
    MOERT_TRY(saveLast());
    MOERT_TRY(finish());
    return TrainEnd::finished;
  }
  std::vector<std::vector<uint32_t>> in;
  for (size_t domain : data_->training)
    in.push_back(data_->splits[domain].in);
  TrainingBatches rows(data_->set, data_->training, std::move(in), size_t(recipe_.batchPerDomain),
                       uint64_t(recipe_.seed));
  Prefetch batches([&](uint64_t step, Batch &batch) { rows.fill(step, batch); }, state_.step,
                   uint64_t(recipe_.steps), int(recipe_.dataThreads));
  MOERT_TRY(announce());
  if (recipe_.steps == 0) // the initial values alone
    MOERT_TRY(saveLast());
  if (options_.beforeSteps)
    options_.beforeSteps();
  while (state_.step < uint64_t(recipe_.steps) || state_.pendingEvaluation) {
    if (!state_.pendingEvaluation) {
      MOERT_TRY(step(batches));
      state_.pendingEvaluation = due(recipe_.evalEvery);
      if (!state_.pendingEvaluation && due(recipe_.logEvery))
        if (Status logged = log(); !logged.ok())
          return failInFolder(std::move(logged));
    }
    bool saves = due(saveEvery()) || state_.step == uint64_t(recipe_.steps);
    if (state_.pendingEvaluation && !stopped()) {
      MOERT_ASSIGN(bool done, evaluate());
      if (!done)
        return stopHere();
    }
    // Steps that are in flight are collected first: their updates are made.
    if (stopped() && session_->inFlight() == 0 &&
        state_.step < uint64_t(recipe_.steps) + state_.pendingEvaluation)
      return stopHere();
    if (saves)
      MOERT_TRY(saveLast());
  }
  MOERT_TRY(finish());
  return TrainEnd::finished;
}

} // namespace

Result<TrainEnd> train(const TrainOptions &options) { return Run(options).run(); }

} // namespace moert

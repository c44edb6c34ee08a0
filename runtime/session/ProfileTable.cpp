// Sums launches by what the table is by, sorts the sums, and writes them in columns as wide as what they hold.
#include "runtime/session/ProfileTable.h"
#include "runtime/base/Status.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

namespace moert {

namespace {

constexpr std::array<const char *, 3> kParts = {"forward", "backward", "update"};

struct Row {
  std::string key, kind, part, origin; // origin: the first launch's op and path
  uint64_t launches = 0;
  double seconds = 0, idle = 0, flops = 0, bytes = 0;
  std::array<double, kParts.size()> parts = {}; // seconds of each

  void add(const Row &other) {
    launches += other.launches;
    seconds += other.seconds;
    idle += other.idle;
    flops += other.flops;
    bytes += other.bytes;
    for (size_t i = 0; i < parts.size(); ++i)
      parts[i] += other.parts[i];
  }
};

Row rowOf(const LaunchProfile &launch) {
  Row row;
  row.kind = launch.kind;
  row.part = launch.part;
  row.origin = launch.op + (launch.path.empty() ? "" : " " + launch.path);
  row.launches = 1;
  row.seconds = launch.seconds;
  row.idle = launch.idle.value_or(0);
  row.flops = launch.flops * double(launch.runs);
  row.bytes = launch.bytes * double(launch.runs);
  for (size_t i = 0; i < kParts.size(); ++i)
    if (launch.part == kParts[i])
      row.parts[i] = launch.seconds;
  return row;
}

std::string layerOf(const std::string &path, const ProfileTableOptions &options) {
  std::string layer;
  size_t names = 0;
  for (size_t begin = 0; begin < path.size() && (options.depth == 0 || names < options.depth); ++names) {
    const size_t end = std::min(path.find('.', begin), path.size());
    std::string name = path.substr(begin, end - begin);
    if (options.alike && std::all_of(name.begin(), name.end(), [](unsigned char c) { return isdigit(c); }))
      name = "*";
    layer += (names ? "." : "") + name;
    begin = end + 1;
  }
  return layer.empty() ? "(model)" : layer;
}

std::string keyOf(const LaunchProfile &launch, const ProfileTableOptions &options) {
  switch (options.by) {
  case ProfileBy::kernel:
  case ProfileBy::launch:
    return launch.kernel;
  case ProfileBy::op:
    return launch.op;
  case ProfileBy::layer:
    return layerOf(launch.path, options);
  case ProfileBy::part:
    return launch.part.empty() ? "(inference)" : launch.part;
  }
  return {};
}

const char *titleOf(ProfileBy by) {
  constexpr std::array titles = {"kernel", "kernel", "op", "layer", "part"};
  return titles[size_t(by)];
}

/// Rows of the launches that ran, the slowest first; at most `top`, and behind them the sum of the others.
std::vector<Row> rowsOf(const Profile &profile, const ProfileTableOptions &options) {
  std::map<std::string, size_t> known;
  std::vector<Row> rows;
  for (const LaunchProfile &launch : profile.launches) {
    if (launch.runs == 0)
      continue;
    Row row = rowOf(launch);
    row.key = keyOf(launch, options);
    auto [place, added] = known.try_emplace(row.key, rows.size());
    if (added || options.by == ProfileBy::launch) {
      rows.push_back(std::move(row));
      continue;
    }
    Row &sum = rows[place->second];
    sum.add(row);
    if (sum.part != row.part)
      sum.part = "several";
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row &a, const Row &b) {
    return a.seconds != b.seconds ? a.seconds > b.seconds : a.key < b.key;
  });
  const size_t all = rows.size(), shown = std::max<size_t>(options.top, 1);
  if (all <= shown)
    return rows;
  Row rest;
  rest.key = concat("+ ", all - shown, " more");
  rest.origin = concat("the others together; --top ", all, " lists them");
  for (size_t i = shown; i < all; ++i)
    rest.add(rows[i]);
  rows.resize(shown);
  rows.push_back(std::move(rest));
  return rows;
}

struct Column {
  std::string title;
  bool left = false; // numbers are at the right
  std::vector<std::string> cells = {};
};

std::string columnsText(const std::vector<Column> &columns, size_t rows) {
  constexpr size_t kWidest = 96;
  std::string out;
  for (size_t row = 0; row <= rows; ++row) { // the titles first
    std::string line;
    for (const Column &column : columns) {
      size_t width = column.title.size();
      for (const std::string &cell : column.cells)
        width = std::max(width, std::min(cell.size(), kWidest));
      const std::string cell = (row == 0 ? column.title : column.cells[row - 1]).substr(0, kWidest);
      const std::string blanks(width - cell.size(), ' ');
      line += (line.empty() ? "" : "  ") + (column.left ? cell + blanks : blanks + cell);
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

template <typename... Values> std::string formatted(const char *format, Values... values) {
  char text[64];
  snprintf(text, sizeof text, format, values...);
  return text;
}

} // namespace

std::string describeProfile(const Profile &profile, const ProfileTableOptions &options) {
  const std::vector<Row> rows = rowsOf(profile, options);
  Row total;
  for (const Row &row : rows)
    total.add(row);
  bool hasIdle = false, hasParts = false;
  for (const LaunchProfile &launch : profile.launches) {
    hasIdle |= launch.idle.has_value();
    hasParts |= !launch.part.empty();
  }
  const double steps = double(std::max<uint64_t>(profile.runs, 1));
  auto milliseconds = [&](double seconds) { return formatted("%.3f", seconds / steps * 1e3); };
  auto percent = [](double part, double whole) {
    return formatted("%.1f%%", whole > 0 ? part / whole * 100 : 0);
  };
  auto rate = [](double count, double seconds) {
    return formatted("%.1f", seconds > 0 ? count / seconds / 1e9 : 0);
  };

  std::vector<Column> columns;
  auto column = [&](const char *title, auto &&cell, bool left = false) {
    columns.push_back({title, left});
    for (const Row &row : rows)
      columns.back().cells.push_back(cell(row));
  };
  const bool kernels = options.by == ProfileBy::kernel || options.by == ProfileBy::launch;
  column(titleOf(options.by), [](const Row &row) { return row.key; }, true);
  if (kernels)
    column("kind", [](const Row &row) { return row.kind; }, true);
  if (kernels && hasParts)
    column("part", [](const Row &row) { return row.part; }, true);
  if (options.by != ProfileBy::launch)
    column("launches", [](const Row &row) { return std::to_string(row.launches); });
  column("ms/step", [&](const Row &row) { return milliseconds(row.seconds); });
  if (hasParts && (options.by == ProfileBy::op || options.by == ProfileBy::layer))
    for (size_t i = 0; i < kParts.size(); ++i)
      column(kParts[i], [&](const Row &row) { return milliseconds(row.parts[i]); });
  column("share", [&](const Row &row) { return percent(row.seconds, total.seconds); });
  if (hasIdle)
    column("wait", [&](const Row &row) { return percent(row.idle, row.seconds); });
  column("GFLOP/s", [&](const Row &row) { return rate(row.flops, row.seconds); });
  column("GB/s", [&](const Row &row) { return rate(row.bytes, row.seconds); });
  if (kernels)
    column(
        options.by == ProfileBy::launch ? "op" : "first use", [](const Row &row) { return row.origin; },
        true);
  std::string out = columnsText(columns, rows.size());
  if (hasIdle)
    out += concat("threads waited ", percent(total.idle, total.seconds),
                  " of the launches' time: ", milliseconds(total.idle), " of ", milliseconds(total.seconds),
                  " ms a step\n");
  return out;
}

} // namespace moert

#include "runtime/train/PathPattern.h"

#include <algorithm>

namespace moert {
namespace {

struct Star {
  size_t begin, end; // in the pattern
  bool dots;         // whether it stands for dots as well
};

std::vector<Star> findStars(std::string_view pattern) {
  std::vector<Star> stars;
  for (size_t at = 0; at < pattern.size(); ++at)
    if (pattern[at] == '*') {
      const bool two = at + 1 < pattern.size() && pattern[at + 1] == '*';
      stars.push_back({at, at + (two ? 2 : 1), two});
      at += two;
    }
  return stars;
}

class Match {
public:
  Match(std::string_view pattern, std::string_view path)
      : pattern_(pattern), path_(path), stars_(findStars(pattern)) {
    failed_.assign(stars_.size() * (path.size() + 1), false);
  }

  std::optional<std::vector<std::string>> run() {
    if (!from(0, 0, 0))
      return std::nullopt;
    return std::vector<std::string>(parts_.begin(), parts_.end());
  }

private:
  // Whether the pattern from `at` on, whose first star is number `star`, matches the path from `begin` on.
  bool from(size_t at, size_t begin, size_t star) {
    const bool last = star == stars_.size();
    const std::string_view plain = pattern_.substr(at, (last ? pattern_.size() : stars_[star].begin) - at),
                           rest = path_.substr(begin);
    if (!rest.starts_with(plain) || (last && rest.size() != plain.size()))
      return false;
    if (last)
      return true;
    begin += plain.size();
    // A star that begins later takes no end that this one does not, so each end is tried once for each star.
    auto failed = failed_.begin() + long(star * (path_.size() + 1));
    if (failed[long(begin)])
      return false;
    size_t end = begin;
    for (; end <= path_.size(); ++end) {
      parts_.resize(star);
      parts_.emplace_back(path_.substr(begin, end - begin));
      if (from(stars_[star].end, end, star + 1))
        return true;
      if (end < path_.size() && path_[end] == '.' && !stars_[star].dots) {
        ++end;
        break;
      }
    }
    std::fill(failed + long(begin), failed + long(end), true);
    return false;
  }

  std::string_view pattern_, path_;
  std::vector<Star> stars_;
  std::vector<bool> failed_;
  std::vector<std::string_view> parts_;
};

} // namespace

size_t starsOf(std::string_view pattern) { return findStars(pattern).size(); }

std::optional<std::vector<std::string>> matchPath(std::string_view pattern, std::string_view path) {
  return Match(pattern, path).run();
}

std::string fillStars(std::string_view pattern, const std::vector<std::string> &parts) {
  std::string text;
  size_t at = 0, next = 0;
  for (const Star &star : findStars(pattern)) {
    text += pattern.substr(at, star.begin - at);
    text += parts[next++];
    at = star.end;
  }
  return text.append(pattern.substr(at));
}

} // namespace moert

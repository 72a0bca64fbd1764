#include "integration/faultfs/rules.h"

#include <fnmatch.h>

#include <charconv>
#include <optional>
#include <vector>

#include "core/base/result.h"

namespace pollux {
namespace {

constexpr int kErrnoMax = 133;  // EHWPOISON, the last one of <asm-generic/errno.h>

std::string Quoted(std::string_view text) {
  std::string quoted(1, '\'');
  quoted.append(text);
  quoted.push_back('\'');
  return quoted;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "name=N" in two; nothing if it has another form.
struct Setting {
  std::string_view name;
  uint64_t value;
};
std::optional<Setting> ParseSetting(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const auto value = Number(text.substr(equals + 1));
  if (!value) return std::nullopt;
  return Setting{text.substr(0, equals), *value};
}

bool ApplyFault(std::string_view text, ReadRule& rule) {
  if (text == "hold") {
    rule.fault = ReadRule::Fault::kHold;
    return true;
  }
  if (const auto setting = ParseSetting(text)) {
    rule.value = setting->value;
    if (setting->name == "short") {
      rule.fault = ReadRule::Fault::kShort;
      return rule.value > 0;  // no byte at all is the end of the file: truncate= says that
    }
    rule.fault = setting->name == "delay" ? ReadRule::Fault::kDelay : ReadRule::Fault::kTruncate;
    return setting->name == "delay" || setting->name == "truncate";
  }
  rule.fault = ReadRule::Fault::kError;
  for (int code = 1; code <= kErrnoMax; ++code) {
    if (text == ErrnoName(code)) rule.value = static_cast<uint64_t>(code);
  }
  return rule.value != 0;
}

bool ApplyWhen(std::string_view text, ReadRule& rule) {
  const auto setting = ParseSetting(text);
  if (!setting) return false;
  if (setting->name == "from") {
    rule.from = setting->value;
  } else if (setting->name == "to") {
    rule.to = setting->value;
  } else if (setting->name == "first") {
    rule.first = setting->value;
  } else if (setting->name == "last") {
    rule.last = setting->value;
  } else if (setting->name == "every") {
    rule.every = setting->value;
  } else {
    return false;
  }
  return rule.first > 0 && rule.every > 0;
}

}  // namespace

bool ReadRule::Names(const std::string& path) const {
  return ::fnmatch(glob.c_str(), path.c_str(), 0) == 0;
}

bool ReadRule::Strikes(const std::string& path, uint64_t offset, uint64_t size) {
  if (offset >= to || offset + size <= from || !Names(path)) return false;
  ++seen;
  return seen >= first && seen <= last && (seen - first) % every == 0;
}

tl::expected<ReadRule, std::string> ParseReadRule(std::string_view text) {
  const auto parts = Split(text, ':');
  if (parts.size() < 2 || parts[0].empty()) {
    return tl::make_unexpected(Quoted(text) + " is no rule: GLOB:FAULT expected");
  }
  ReadRule rule;
  rule.glob = parts[0];
  if (!ApplyFault(parts[1], rule)) {
    return tl::make_unexpected(Quoted(parts[1]) +
                               " is none of short=BYTES, delay=MS, truncate=BYTES, hold, an errno");
  }
  for (size_t i = 2; i < parts.size(); ++i) {
    if (!ApplyWhen(parts[i], rule)) {
      return tl::make_unexpected(Quoted(parts[i]) +
                                 " is none of from=N, to=N, first=N, last=N, every=N");
    }
  }
  if (rule.last < rule.first || rule.to <= rule.from) {
    return tl::make_unexpected(Quoted(text) + ": it ends before it begins");
  }
  return rule;
}

}  // namespace pollux

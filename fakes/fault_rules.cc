// The text form of fault rules; see fault_kernel.h.
#include <charconv>
#include <string>

#include "fakes/fault_kernel.h"

namespace pollux {
namespace {

struct CallTraits {
  const char* name;
  bool takes_short;
};

constexpr std::array<CallTraits, kFaultCalls> kCalls = {{
    {"openat", false},        {"openat2", false},     {"fstat", false},
    {"statx", false},         {"read", true},         {"pread", true},
    {"preadv2", true},        {"write", true},        {"cachestat", false},
    {"posix_fadvise", false}, {"getdents64", false},  {"memfd_create", false},
    {"ftruncate", false},     {"fallocate", false},   {"mmap", false},
    {"madvise", false},       {"socket", false},      {"bind", false},
    {"listen", false},        {"accept4", false},     {"getsockname", false},
    {"setsockopt", false},    {"getsockopt", false},  {"recv", true},
    {"send", true},           {"writev", true},       {"sendfile", true},
    {"shutdown", false},      {"ioctl_outq", false},  {"epoll_create1", false},
    {"epoll_ctl", false},     {"epoll_pwait", false}, {"poll", false},
    {"ppoll", false},         {"eventfd", false},     {"io_setup", false},
    {"io_submit", true},      {"io_getevents", true}, {"io_pgetevents", true},
    {"getrlimit", false},     {"setrlimit", false},   {"getpwnam", false},
    {"thread_create", false}, {"aio_read", true},
}};

constexpr int kErrnoMax = 133;  // EHWPOISON, the last one of <asm-generic/errno.h>

std::optional<FaultCall> CallNamed(std::string_view name) {
  for (size_t i = 0; i < kCalls.size(); ++i) {
    if (name == kCalls[i].name) return static_cast<FaultCall>(i);
  }
  return std::nullopt;
}

std::optional<int> ErrnoNamed(std::string_view name) {
  for (int code = 1; code <= kErrnoMax; ++code) {
    if (name == ErrnoName(code)) return code;
  }
  return std::nullopt;
}

// A whole positive number and nothing else.
std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
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

std::string Quoted(std::string_view text) {
  std::string quoted(1, '\'');
  quoted.append(text);
  quoted.push_back('\'');
  return quoted;
}

// Sets what `option` (name=N) names; an error message if it cannot.
std::string ApplyOption(std::string_view option, FaultRule& rule) {
  const size_t equals = option.find('=');
  const std::string_view name = option.substr(0, equals);
  uint64_t* target = nullptr;
  if (name == "first") target = &rule.first;
  if (name == "last") target = &rule.last;
  if (name == "every") target = &rule.every;
  if (target == nullptr || equals == std::string_view::npos) {
    return Quoted(option) + " is none of first=N, last=N, every=N";
  }
  const auto value = Number(option.substr(equals + 1));
  if (!value) return Quoted(option) + ": N must be a positive number";
  *target = *value;
  return {};
}

tl::expected<FaultRule, std::string> ParseRule(std::string_view text) {
  const auto parts = Split(text, ':');
  if (parts.size() < 2) {
    return tl::make_unexpected(Quoted(text) + " is no rule: CALL:ERRNO or CALL:short=N expected");
  }
  FaultRule rule;
  const auto call = CallNamed(parts[0]);
  if (!call) {
    return tl::make_unexpected(Quoted(parts[0]) + " cannot be struck" +
                               (parts[0] == "close" ? ": skipped, it would leak" : ": unknown"));
  }
  rule.call = *call;
  constexpr std::string_view kShort = "short=";
  if (parts[1].starts_with(kShort)) {
    if (!kCalls[static_cast<size_t>(*call)].takes_short) {
      return tl::make_unexpected(Quoted(parts[0]) + " has no count to shorten");
    }
    const auto count = Number(parts[1].substr(kShort.size()));
    if (!count) return tl::make_unexpected(Quoted(parts[1]) + ": N must be a positive number");
    rule.short_to = *count;
  } else {
    const auto code = ErrnoNamed(parts[1]);
    if (!code) return tl::make_unexpected(Quoted(parts[1]) + " is no errno");
    rule.error = *code;
  }
  for (size_t i = 2; i < parts.size(); ++i) {
    if (std::string wrong = ApplyOption(parts[i], rule); !wrong.empty()) {
      return tl::make_unexpected(std::move(wrong));
    }
  }
  if (rule.last < rule.first) return tl::make_unexpected(Quoted(text) + ": last before first");
  return rule;
}

}  // namespace

const char* ToString(FaultCall call) { return kCalls[static_cast<size_t>(call)].name; }

tl::expected<std::vector<FaultRule>, std::string> ParseFaultRules(std::string_view text) {
  std::vector<FaultRule> rules;
  if (text.empty()) return rules;
  for (const std::string_view part : Split(text, ';')) {
    if (part.empty()) continue;
    auto rule = ParseRule(part);
    if (!rule) return tl::make_unexpected(std::move(rule.error()));
    rules.push_back(*rule);
  }
  return rules;
}

}  // namespace pollux

// Lines of the access log: one line whatever a client sends, with the quotes of a line and no
// others, and what was sent can be read back from it. The input is method, target, referer and
// user agent, each up to the next line feed; the first byte of a field says whether it may hold
// one.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/server/access_log.h"
#include "core/sys/line_output.h"
#include "fuzz/input.h"

namespace {

// Fields with bytes that the input uses as its own: '|' stands for a line feed.
std::string Field(pollux::fuzz::Input& input) {
  std::string field(input.Line());
  for (char& c : field) c = c == '|' ? '\n' : c;
  return field;
}

int HexValue(char c) {
  const size_t at = std::string_view("0123456789abcdef").find(c);
  CHECK(at != std::string_view::npos);
  return static_cast<int>(at);
}

std::string Unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    CHECK(text.size() - i >= 4 && text[i + 1] == 'x');
    out.push_back(static_cast<char>(HexValue(text[i + 2]) * 16 + HexValue(text[i + 3])));
    i += 3;
  }
  return out;
}

// What stands between the quotes of `line`.
std::vector<std::string> Quoted(std::string_view line) {
  std::vector<std::string> out;
  size_t begin = line.find('"');
  while (begin != std::string_view::npos) {
    const size_t end = line.find('"', begin + 1);
    CHECK(end != std::string_view::npos);
    out.push_back(Unescaped(line.substr(begin + 1, end - begin - 1)));
    begin = line.find('"', end + 1);
  }
  return out;
}

// `got` is `field`, or its beginning, if the line would have been too long.
void CheckField(std::string_view got, std::string_view field, bool may_be_cut) {
  if (got == (field.empty() ? "-" : field)) return;
  CHECK(may_be_cut && got.ends_with("..."));
  CHECK(field.starts_with(got.substr(0, got.size() - 3)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pollux::fuzz::Input input(data, size);
  pollux::AccessRecord record;
  record.host = "127.0.0.1";
  // Behind the parser it is one of these.
  constexpr std::string_view kVersions[] = {"HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""};
  record.version = kVersions[input.Number(1) % std::size(kVersions)];
  record.time = static_cast<int64_t>(input.Number(4));
  record.status = 200;
  record.body_bytes = input.Number(8);
  const std::string method = Field(input), target = Field(input), referer = Field(input),
                    agent = Field(input);
  record.method = method;
  record.target = target;
  record.referer = referer;
  record.user_agent = agent;
  const std::string line = FormatAccessLine(record);

  CHECK(line.size() <= pollux::kLogLineBytesMax);
  CHECK(line.find('\n') == line.size() - 1);
  for (const char c : std::string_view(line).substr(0, line.size() - 1))
    CHECK(c >= 0x20 && c < 0x7f);
  const std::vector<std::string> quoted = Quoted(line);
  CHECK(quoted.size() == 3);
  const size_t whole = line.size() + method.size() + target.size() + referer.size() + agent.size();
  const bool may_be_cut = 4 * whole > pollux::kLogLineBytesMax;
  CheckField(quoted[1], referer, may_be_cut);
  CheckField(quoted[2], agent, may_be_cut);
  if (may_be_cut) return 0;
  std::string request = method + " " + target;
  if (!record.version.empty()) request.append(" ").append(record.version);
  CHECK(quoted[0] == (method.empty() ? "-" : request));
  return 0;
}

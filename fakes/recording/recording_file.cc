#include "fakes/recording/recording_file.h"

#include <algorithm>
#include <utility>

#include "fakes/recording/bytes_text.h"
#include "fakes/recording/calls.h"

namespace pollux {
namespace {

using nlohmann::json;
using recorded::Arguments;
using recorded::WrongArgument;

constexpr const char* kFormat = "pollux-sim recording 1";
constexpr int kThreadsMax = 64;
constexpr int kLinesMax = 100'000;

// Lines, one after the other.
class Lines {
 public:
  explicit Lines(std::string_view text) : left_(text) {}
  // The next one, an object. Throws WrongArgument, also if there is none.
  json Next() {
    ++number_;
    if (left_.empty()) throw WrongArgument{"the file ends here: it was cut off"};
    const size_t end = std::min(left_.find('\n'), left_.size());
    json line = json::parse(left_.substr(0, end), nullptr, /*allow_exceptions=*/false);
    left_.remove_prefix(std::min(end + 1, left_.size()));
    if (!line.is_object()) throw WrongArgument{"no JSON object, or cut off"};
    return line;
  }
  bool empty() const { return left_.empty(); }
  size_t number() const { return number_; }

 private:
  std::string_view left_;
  size_t number_ = 0;
};

RecordedFile FileOf(const json& line) {
  const Arguments a(line);
  RecordedFile file{a.Bytes("file"), a.Bytes("contents")};
  if (!file.path.starts_with('/')) throw WrongArgument{"\"file\" is no absolute path"};
  return file;
}

RecordedCall CallOf(const json& line, int threads) {
  const Arguments a(line);
  RecordedCall call;
  call.thread = a.Int("thread", 0, threads - 1);
  call.begin = static_cast<uint64_t>(a.Long("begin", 1, INT64_MAX));
  call.end = static_cast<uint64_t>(a.Long("end", 1, INT64_MAX));
  if (call.end <= call.begin) throw WrongArgument{"it ends before it begins"};
  call.name = a.Word("call");
  call.result = a.Word("result");
  const json timed_out = line.value("timed_out", json(false));
  if (!timed_out.is_boolean()) throw WrongArgument{"\"timed_out\" is neither true nor false"};
  call.timed_out = timed_out.get<bool>();
  call.arguments = line.value("arguments", json());
  if (!call.arguments.is_object()) throw WrongArgument{"\"arguments\" is no object"};
  call.again = recorded::Make(call.name, Arguments(call.arguments), threads);
  return call;
}

// Throws WrongArgument.
Recording RecordingOf(Lines& lines) {
  const json head = lines.Next();
  if (head.value("format", json()) != kFormat) {
    throw WrongArgument{std::string("not of the format \"") + kFormat + "\""};
  }
  const Arguments a(head);
  Recording out;
  out.threads = a.Int("threads", 1, kThreadsMax);
  const int files = a.Int("files", 0, kLinesMax), calls = a.Int("calls", 0, kLinesMax);
  for (int i = 0; i < files; ++i) out.files.push_back(FileOf(lines.Next()));
  std::vector<uint64_t> ends(static_cast<size_t>(out.threads));  // of each thread's last call
  uint64_t begin = 0;
  for (int i = 0; i < calls; ++i) {
    RecordedCall call = CallOf(lines.Next(), out.threads);
    uint64_t& end = ends[static_cast<size_t>(call.thread)];
    if (call.begin <= begin || call.begin < end) {
      throw WrongArgument{"it begins before what comes before it"};
    }
    begin = call.begin;
    end = call.end;
    out.calls.push_back(std::move(call));
  }
  if (!lines.empty()) throw WrongArgument{"there are more lines after it than the first one says"};
  return out;
}

}  // namespace

std::string WriteRecording(const Recording& recording) {
  // In this order, for readers.
  using nlohmann::ordered_json;
  std::string text = ordered_json{{"format", kFormat},
                                  {"threads", recording.threads},
                                  {"files", recording.files.size()},
                                  {"calls", recording.calls.size()}}
                         .dump() +
                     "\n";
  for (const RecordedFile& file : recording.files) {
    text += ordered_json{{"file", BytesToUtf8(file.path)}, {"contents", BytesToUtf8(file.contents)}}
                .dump() +
            "\n";
  }
  for (const RecordedCall& call : recording.calls) {
    ordered_json line = {
        {"thread", call.thread}, {"begin", call.begin},         {"end", call.end},
        {"call", call.name},     {"arguments", call.arguments}, {"result", call.result}};
    if (call.timed_out) line["timed_out"] = true;
    text += line.dump() + "\n";
  }
  return text;
}

tl::expected<Recording, std::string> ReadRecording(std::string_view text) {
  Lines lines(text);
  try {
    return RecordingOf(lines);
  } catch (const WrongArgument& wrong) {
    return tl::unexpected("line " + std::to_string(lines.number()) + ": " + wrong.text);
  }
}

size_t LineOf(const Recording& recording, size_t call) { return 2 + recording.files.size() + call; }

}  // namespace pollux

// What holds for every answer, whatever its status: a Date, a length that is true or rightly
// absent, dates that are not in the future, and a HEAD that says what GET says. A row for each
// kind.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/http/date.h"
#include "core/server/static_file.h"

namespace pollux {
namespace {

using http::Method;

constexpr int64_t kNow = 1'700'000'000;
constexpr uint64_t kSize = 1000;

std::shared_ptr<OpenFile> File(mode_t type, uint64_t size = kSize, int64_t mtime = kNow - 3600) {
  auto file = std::make_shared<OpenFile>();
  file->mode = type | 0644;
  file->key = {1, 42, size, mtime * 1'000'000'000};
  file->mtime_s = mtime;
  return file;
}

Result<std::shared_ptr<OpenFile>> Fails(int code) { return Err(code, "openat2"); }

struct Row {
  const char* name;
  int status;
  Result<std::shared_ptr<OpenFile>> opened;
  std::function<void(http::Request&)> change = [](http::Request&) {};
};

class AnswerTest : public testing::TestWithParam<Row> {
 protected:
  static Response Answer(Method method) {
    http::Request request;
    request.method = method;  // unless the row has its own
    request.path = request.target = "/a.txt";
    GetParam().change(request);
    ResponseContext context;
    context.now = kNow;
    const std::string date = http::FormatDate(kNow);
    context.date = date;
    context.head_only = method == Method::kHead;
    if (auto response = StaticFiles::WithoutFile(request, context)) return std::move(*response);
    const StaticFiles files(http::MimeTypes("text/plain txt\n"));
    return std::get<Response>(
        files.AfterOpen(request, {Attempt::kPath, "a.txt"}, GetParam().opened, context));
  }
  static std::string Head(const Response& response) {
    return response.bytes.substr(0, response.head_bytes);
  }
  static std::optional<std::string> Field(const std::string& head, const std::string& name) {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return std::nullopt;
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  // Of what follows the head: in memory, from the file, and by parts.
  static uint64_t ContentBytes(Response& response) {
    class NoWaiter final : public TransferWaiter {
      void OnTransferReady() override { ADD_FAILURE(); }
    } waiter;
    uint64_t bytes = response.bytes.size() - response.head_bytes + response.length;
    ContentPiece piece;
    while (response.rest != nullptr &&
           *response.rest->Next(piece, waiter) == ContentSource::Outcome::kPiece) {
      bytes += piece.bytes.size() + piece.length;
    }
    return bytes;
  }
};

TEST_P(AnswerTest, HasItsStatusAndTheDate) {
  const Response response = Answer(Method::kGet);
  EXPECT_EQ(response.status, GetParam().status);
  EXPECT_EQ(Field(Head(response), "Date"), http::FormatDate(kNow));
}

TEST_P(AnswerTest, HasTheLengthOfItsContentOrNone) {
  Response response = Answer(Method::kGet);
  const std::string head = Head(response);
  const uint64_t bytes = ContentBytes(response);
  if (response.status == 204 || response.status == 304) {
    EXPECT_EQ(Field(head, "Content-Length"), std::nullopt);
    EXPECT_EQ(Field(head, "Content-Type"), std::nullopt);
    EXPECT_EQ(bytes, 0u);
  } else {
    EXPECT_EQ(Field(head, "Content-Length"), std::to_string(bytes));
    EXPECT_TRUE(Field(head, "Content-Type"));
  }
}

TEST_P(AnswerTest, IsModifiedNoLaterThanNow) {
  const auto modified = Field(Head(Answer(Method::kGet)), "Last-Modified");
  if (modified) {
    EXPECT_LE(*http::ParseDate(*modified, kNow), kNow);
  }
}

TEST_P(AnswerTest, HeadSaysTheSameAndSendsNothing) {
  http::Request request;
  GetParam().change(request);
  if (request.range || request.method != Method::kUnknown) return;  // means nothing with HEAD
  const Response get = Answer(Method::kGet);
  Response head = Answer(Method::kHead);
  EXPECT_EQ(Head(head), Head(get));
  EXPECT_EQ(ContentBytes(head), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, AnswerTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Whole", 200, File(S_IFREG)}, Row{"Empty", 200, File(S_IFREG, 0)},
        Row{"FromTheFuture", 200, File(S_IFREG, kSize, kNow + 5000)},
        Row{"FromBefore1970", 200, File(S_IFREG, kSize, -5000)},
        Row{"Options", 204, Fails(ENOENT), [](auto& r) { r.method = Method::kOptions; }},
        Row{"OneRange", 206, File(S_IFREG), [](auto& r) { r.range = "bytes=1-2"; }},
        Row{"SeveralRanges", 206, File(S_IFREG), [](auto& r) { r.range = "bytes=1-2,7-9,-1"; }},
        Row{"Folder", 301, File(S_IFDIR)},
        Row{"NotModifiedByTag", 304, File(S_IFREG), [](auto& r) { r.if_none_match = "*"; }},
        Row{"NotModifiedByDate", 304, File(S_IFREG, kSize, kNow + 5000),
            [](auto& r) { r.if_modified_since = http::FormatDate(kNow); }},
        Row{"Forbidden", 403, Fails(EACCES)}, Row{"NoRegularFile", 403, File(S_IFIFO)},
        Row{"Missing", 404, Fails(ENOENT)},
        Row{"KnownMethod", 405, Fails(ENOENT), [](auto& r) { r.method = Method::kOtherKnown; }},
        Row{"Failed", 412, File(S_IFREG), [](auto& r) { r.if_match = "\"x\""; }},
        Row{"Unsatisfiable", 416, File(S_IFREG), [](auto& r) { r.range = "bytes=1000-"; }},
        Row{"Broken", 500, Fails(EIO)}, Row{"Short", 503, Fails(EMFILE)}}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace pollux

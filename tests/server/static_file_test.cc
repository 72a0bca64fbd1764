// What each request for a file is answered with. No file is opened: an open result goes in, a
// response or the next path comes out.
#include "core/server/static_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <vector>

#include "core/http/date.h"

namespace pollux {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kNow = 1'700'000'000;
constexpr char kDate[] = "Tue, 14 Nov 2023 22:13:20 GMT";
constexpr int64_t kModified = kNow - 3600;

ResponseContext Context() {
  ResponseContext context;
  context.now = kNow;
  context.date = kDate;
  return context;
}

http::Request Get(const std::string& path) {
  http::Request request;
  request.method = http::Method::kGet;
  request.method_name = "GET";
  request.target = request.path = path;
  return request;
}

std::shared_ptr<OpenFile> File(mode_t type, uint64_t size = 1000, int64_t mtime = kModified) {
  auto file = std::make_shared<OpenFile>();
  file->mode = type | 0644;
  file->key = {1, 42, size, mtime * 1'000'000'000};
  file->mtime_s = mtime;
  return file;
}

class StaticFilesTest : public ::testing::Test {
 protected:
  Response Answer(const http::Request& request, Result<std::shared_ptr<OpenFile>> opened,
                  ResponseContext context = Context()) {
    context.head_only = request.method == http::Method::kHead;
    auto next = files_.AfterOpen(request, StaticFiles::PathToOpen(request.path), opened, context);
    EXPECT_TRUE(std::holds_alternative<Response>(next));
    return std::get<Response>(std::move(next));
  }
  static std::string Head(const Response& response) {
    return response.bytes.substr(0, response.head_bytes);
  }
  static std::string Body(const Response& response) {
    return response.bytes.substr(response.head_bytes);
  }
  // Every response's promise: Content-Length is what follows, in memory or from the file.
  static void ExpectExactLength(const Response& response) {
    const uint64_t body = response.bytes.size() - response.head_bytes + response.length;
    EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Length: " + std::to_string(body) + "\r\n"));
  }

  StaticFiles files_{http::MimeTypes("text/plain txt\ntext/html html\n")};
};

TEST_F(StaticFilesTest, ARegularFileIsSentWhole) {
  auto file = File(S_IFREG);
  const Response response = Answer(Get("/a.txt"), file);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.file, file);
  EXPECT_EQ(response.offset, 0u);
  EXPECT_EQ(response.length, 1000u);
  const std::string head = Head(response);
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nContent-Type: text/plain\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nAccept-Ranges: bytes\r\n"));
  EXPECT_THAT(head, HasSubstr(std::string("\r\nDate: ") + kDate + "\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nLast-Modified: Tue, 14 Nov 2023 21:13:20 GMT\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nETag: \""));
  EXPECT_THAT(head, Not(HasSubstr("Connection:")));
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
  ExpectExactLength(response);
}

TEST_F(StaticFilesTest, AnEmptyFileHasNoTransfer) {
  const Response response = Answer(Get("/a.txt"), File(S_IFREG, 0));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.file, nullptr);
  ExpectExactLength(response);
}

TEST_F(StaticFilesTest, HeadHasTheHeadOfGetAndNoContent) {
  http::Request head = Get("/a.txt");
  head.method = http::Method::kHead;
  const Response with_content = Answer(Get("/a.txt"), File(S_IFREG));
  const Response without = Answer(head, File(S_IFREG));
  EXPECT_EQ(without.bytes, with_content.bytes);
  EXPECT_EQ(without.file, nullptr);
  EXPECT_EQ(without.length, 0u);

  const Response missing = Answer(head, Err(ENOENT, "openat2"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(Body(missing), "");
  EXPECT_THAT(Head(missing), Not(HasSubstr("Content-Length: 0\r\n")));
}

TEST_F(StaticFilesTest, LastModifiedIsNeverLaterThanDate) {
  const Response response = Answer(Get("/a.txt"), File(S_IFREG, 10, kNow + 5000));
  EXPECT_THAT(Head(response), HasSubstr(std::string("\r\nLast-Modified: ") + kDate + "\r\n"));
}

TEST_F(StaticFilesTest, ConnectionIsSaidWhenTheVersionDoesNotImplyIt) {
  ResponseContext closing = Context();
  closing.keep_alive = false;
  EXPECT_THAT(Answer(Get("/a"), File(S_IFREG), closing).bytes,
              HasSubstr("\r\nConnection: close\r\n"));
  ResponseContext old = Context();
  old.version_minor = 0;
  EXPECT_THAT(Answer(Get("/a"), File(S_IFREG), old).bytes,
              HasSubstr("\r\nConnection: keep-alive\r\n"));
}

struct OpenErrorRow {
  int code;
  int status;
};

class OpenErrorTest : public StaticFilesTest, public ::testing::WithParamInterface<OpenErrorRow> {};

TEST_P(OpenErrorTest, HasItsStatus) {
  const Response response = Answer(Get("/a.txt"), Err(GetParam().code, "openat2"));
  EXPECT_EQ(response.status, GetParam().status);
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Type: text/html; charset=utf-8\r\n"));
  EXPECT_NE(Body(response), "");
  ExpectExactLength(response);
}

INSTANTIATE_TEST_SUITE_P(Openat2, OpenErrorTest,
                         ::testing::Values(OpenErrorRow{ENOENT, 404}, OpenErrorRow{ENOTDIR, 404},
                                           OpenErrorRow{ENAMETOOLONG, 404},
                                           OpenErrorRow{EACCES, 403}, OpenErrorRow{EPERM, 403},
                                           OpenErrorRow{ELOOP, 403}, OpenErrorRow{EXDEV, 403},
                                           OpenErrorRow{ENXIO, 403}, OpenErrorRow{ENODEV, 403},
                                           OpenErrorRow{EMFILE, 503}, OpenErrorRow{ENFILE, 503},
                                           OpenErrorRow{ENOMEM, 503}, OpenErrorRow{EAGAIN, 503},
                                           OpenErrorRow{EIO, 500}, OpenErrorRow{ENOSYS, 500},
                                           OpenErrorRow{4095, 500}),
                         [](const auto& row) { return "Errno" + std::to_string(row.param.code); });

TEST_F(StaticFilesTest, OnlyRegularFilesAreServed) {
  for (mode_t type : {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFLNK}) {
    EXPECT_EQ(Answer(Get("/a"), File(type)).status, 403);
    EXPECT_EQ(Answer(Get("/d/"), File(type)).status, 403) << "as an index file";
  }
}

TEST_F(StaticFilesTest, AFolderWithoutSlashIsRedirected) {
  http::Request request = Get("/some dir");
  request.query = "a=b&c";
  const Response response = Answer(request, File(S_IFDIR));
  EXPECT_EQ(response.status, 301);
  EXPECT_THAT(Head(response), HasSubstr("\r\nLocation: /some%20dir/?a=b&c\r\n"));
  ExpectExactLength(response);
}

TEST_F(StaticFilesTest, LocationNeverNamesAnotherHostOrBreaksTheLine) {
  const Response foreign = Answer(Get("//evil.example"), File(S_IFDIR));
  EXPECT_THAT(Head(foreign), Not(HasSubstr("Location: //")));
  const Response broken = Answer(Get("/a\r\nSet-Cookie: x"), File(S_IFDIR));
  EXPECT_THAT(Head(broken), HasSubstr("\r\nLocation: /a%0D%0ASet-Cookie%3A%20x/\r\n"));
}

TEST_F(StaticFilesTest, PathsToOpenAreRelative) {
  EXPECT_EQ(StaticFiles::PathToOpen("/a/b.txt").path, "a/b.txt");
  EXPECT_EQ(StaticFiles::PathToOpen("//a").path, "a");
  EXPECT_EQ(StaticFiles::PathToOpen("/").path, "index.html");
  EXPECT_EQ(StaticFiles::PathToOpen("///").path, "index.html");
  EXPECT_EQ(StaticFiles::PathToOpen("/d/").path, "d/index.html");
  EXPECT_EQ(StaticFiles::PathToOpen("/d/").attempt, Attempt::kIndex);
  EXPECT_EQ(StaticFiles::PathToOpen("/d").attempt, Attempt::kPath);
}

TEST_F(StaticFilesTest, WithoutIndexFileTheFolderDecides) {
  for (const auto& [path, folder] : {std::pair{"/d/", "d/"}, std::pair{"/", "."}}) {
    const http::Request request = Get(path);
    const auto next =
        files_.AfterOpen(request, StaticFiles::PathToOpen(path), Err(ENOENT, "openat2"), Context());
    ASSERT_TRUE(std::holds_alternative<OpenStep>(next));
    const OpenStep& step = std::get<OpenStep>(next);
    EXPECT_EQ(step.path, folder);
    const auto there = files_.AfterOpen(request, step, File(S_IFDIR), Context());
    EXPECT_EQ(std::get<Response>(there).status, 403);
    const auto missing = files_.AfterOpen(request, step, Err(ENOENT, "openat2"), Context());
    EXPECT_EQ(std::get<Response>(missing).status, 404);
  }
}

TEST_F(StaticFilesTest, TheIndexFileHasItsOwnType) {
  const Response response = Answer(Get("/d/"), File(S_IFREG));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Type: text/html\r\n"));
}

TEST_F(StaticFilesTest, ASingleRangeIsSentAlone) {
  http::Request request = Get("/a.txt");
  request.range = "bytes=10-19";
  const Response response = Answer(request, File(S_IFREG));
  EXPECT_EQ(response.status, 206);
  EXPECT_EQ(response.offset, 10u);
  EXPECT_EQ(response.length, 10u);
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Range: bytes 10-19/1000\r\n"));
  ExpectExactLength(response);
}

TEST_F(StaticFilesTest, ARangeBehindTheEndIsNotSatisfiable) {
  http::Request request = Get("/a.txt");
  request.range = "bytes=1000-";
  const Response response = Answer(request, File(S_IFREG));
  EXPECT_EQ(response.status, 416);
  EXPECT_EQ(response.file, nullptr);
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Range: bytes */1000\r\n"));
  ExpectExactLength(response);
}

// Never asked for its file's readiness: parts are made at once.
class NoWaiter final : public TransferWaiter {
  void OnTransferReady() override { ADD_FAILURE(); }
};

TEST_F(StaticFilesTest, DistantRangesAreSentPartByPart) {
  http::Request request = Get("/a.txt");
  request.range = "bytes=500-501,0-1";
  auto file = File(S_IFREG);
  Response response = Answer(request, file);
  EXPECT_EQ(response.status, 206);
  EXPECT_EQ(response.file, nullptr);
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Type: multipart/byteranges; boundary="));
  EXPECT_THAT(Head(response), Not(HasSubstr("Content-Range")));
  EXPECT_THAT(Head(response), HasSubstr("\r\nETag: "));

  ASSERT_NE(response.rest, nullptr);
  NoWaiter waiter;
  ContentPiece piece;
  uint64_t length = 0;
  std::vector<uint64_t> offsets;
  while (*response.rest->Next(piece, waiter) == ContentSource::Outcome::kPiece) {
    length += piece.bytes.size() + piece.length;
    if (piece.file == nullptr) continue;
    EXPECT_EQ(piece.file, file);
    EXPECT_EQ(piece.length, 2u);
    EXPECT_THAT(piece.bytes, HasSubstr("\r\nContent-Type: text/plain\r\n"));
    offsets.push_back(piece.offset);
  }
  EXPECT_EQ(offsets, (std::vector<uint64_t>{500, 0})) << "the order of the request";
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Length: " + std::to_string(length) + "\r\n"));
}

TEST_F(StaticFilesTest, RangesThatBecomeOneAreSentAsOne) {
  http::Request request = Get("/a.txt");
  request.range = "bytes=0-4,5-9";
  const Response response = Answer(request, File(S_IFREG));
  EXPECT_EQ(response.status, 206);
  EXPECT_EQ(response.rest, nullptr);
  EXPECT_THAT(Head(response), HasSubstr("\r\nContent-Range: bytes 0-9/1000\r\n"));
  ExpectExactLength(response);
}

TEST_F(StaticFilesTest, MoreRangesThanMaxRangesAreIgnored) {
  for (const auto& [ranges_max, status] : {std::pair{1, 200}, std::pair{2, 206}, {3, 206}}) {
    const ServingRules rules{static_cast<size_t>(ranges_max)};
    const StaticFiles files(http::MimeTypes(""), rules);
    http::Request request = Get("/a.txt");
    request.range = "bytes=0-1,500-501";
    const auto next =
        files.AfterOpen(request, StaticFiles::PathToOpen("/a.txt"), File(S_IFREG), Context());
    EXPECT_EQ(std::get<Response>(next).status, status) << ranges_max;
  }
}

TEST_F(StaticFilesTest, RangeIsIgnoredForHead) {
  http::Request request = Get("/a.txt");
  request.method = http::Method::kHead;
  request.range = "bytes=10-19";
  EXPECT_EQ(Answer(request, File(S_IFREG)).status, 200);
}

TEST_F(StaticFilesTest, AMatchingValidatorIsNotModified) {
  http::Request request = Get("/a.txt");
  request.if_modified_since = http::FormatDate(kModified);
  const Response response = Answer(request, File(S_IFREG));
  EXPECT_EQ(response.status, 304);
  EXPECT_EQ(response.file, nullptr);
  EXPECT_EQ(Body(response), "");
  EXPECT_THAT(Head(response), HasSubstr("\r\nETag: "));
  EXPECT_THAT(Head(response), HasSubstr("\r\nDate: "));
  EXPECT_THAT(Head(response), Not(HasSubstr("Content-Length")));
}

TEST_F(StaticFilesTest, AFailedPreconditionIs412) {
  http::Request request = Get("/a.txt");
  request.if_match = "\"another\"";
  const Response response = Answer(request, File(S_IFREG));
  EXPECT_EQ(response.status, 412);
  EXPECT_EQ(response.file, nullptr);
  ExpectExactLength(response);
}

TEST_F(StaticFilesTest, IfRangeOfAnotherFileMeansTheWholeOne) {
  http::Request request = Get("/a.txt");
  request.range = "bytes=0-9";
  request.if_range = "\"another\"";
  EXPECT_EQ(Answer(request, File(S_IFREG)).status, 200);
}

TEST_F(StaticFilesTest, MethodsWithoutAFileSayWhatIsAllowed) {
  http::Request request = Get("/a.txt");
  EXPECT_FALSE(StaticFiles::WithoutFile(request, Context()).has_value());
  request.method = http::Method::kHead;
  EXPECT_FALSE(StaticFiles::WithoutFile(request, Context()).has_value());

  request.method = http::Method::kOptions;
  const auto options = StaticFiles::WithoutFile(request, Context());
  EXPECT_EQ(options->status, 204);
  EXPECT_THAT(options->bytes, HasSubstr("\r\nAllow: GET, HEAD, OPTIONS\r\n"));
  EXPECT_THAT(options->bytes, Not(HasSubstr("Content-Length")));

  request.method = http::Method::kOtherKnown;
  const auto known = StaticFiles::WithoutFile(request, Context());
  EXPECT_EQ(known->status, 405);
  EXPECT_THAT(known->bytes, HasSubstr("\r\nAllow: GET, HEAD, OPTIONS\r\n"));

  request.method = http::Method::kUnknown;
  EXPECT_EQ(StaticFiles::WithoutFile(request, Context())->status, 501);
}

TEST(ErrorResponseTest, EscapesItsDetail) {
  const Response response = ErrorResponse(400, "<script>", Context());
  EXPECT_THAT(response.bytes, Not(HasSubstr("<script>")));
  EXPECT_THAT(response.bytes, HasSubstr("&lt;script&gt;"));
}

}  // namespace
}  // namespace pollux

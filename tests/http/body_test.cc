// Bodies end exactly where they end, whatever the pieces; what is bad stops at its first bad byte.
#include "core/http/body.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pollux::http {
namespace {

using State = BodySkipper::State;

constexpr BodyLimits kLimits{
    .body_bytes_max = 100, .chunk_line_bytes_max = 20, .trailer_bytes_max = 30};

Request Chunked() {
  Request request;
  request.chunked = true;
  return request;
}

Request OfLength(uint64_t length) {
  Request request;
  request.content_length = length;
  return request;
}

BodySkipper::Outcome SkipPieces(const Request& request, const std::vector<std::string>& pieces) {
  BodySkipper skipper(request, kLimits);
  BodySkipper::Outcome sum;
  for (const std::string& piece : pieces) {
    auto outcome = skipper.Skip(piece);
    if (outcome.state == State::kNeedMore) {
      EXPECT_EQ(outcome.consumed, piece.size());
    }
    outcome.consumed += sum.consumed;
    sum = outcome;
    if (sum.state != State::kNeedMore) break;
  }
  return sum;
}

// Whole, split at every byte, and byte by byte: always the same.
BodySkipper::Outcome SkipAtEverySplit(const Request& request, const std::string& bytes) {
  const auto whole = SkipPieces(request, {bytes});
  auto same = [&whole](const BodySkipper::Outcome& other) {
    return other.state == whole.state && other.consumed == whole.consumed &&
           other.status == whole.status && std::string(other.reason) == whole.reason;
  };
  std::vector<std::string> drops;
  for (size_t at = 0; at < bytes.size(); ++at) {
    EXPECT_TRUE(same(SkipPieces(request, {bytes.substr(0, at), bytes.substr(at)}))) << at;
    drops.push_back(bytes.substr(at, 1));
  }
  if (!drops.empty()) {
    EXPECT_TRUE(same(SkipPieces(request, drops))) << "byte by byte";
  }
  return whole;
}

struct Row {
  const char* name;
  std::string body;
  int status;  // 0: complete, with all of `body` consumed
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.body; }

std::string RowName(const testing::TestParamInfo<Row>& info) { return info.param.name; }

class ChunkedTest : public testing::TestWithParam<Row> {};

// RFC 9112 §7.1.
TEST_P(ChunkedTest, OutcomeIsTheSameAtEverySplit) {
  const Row& row = GetParam();
  const auto outcome = SkipAtEverySplit(Chunked(), row.body + "GET /next");
  EXPECT_EQ(outcome.status, row.status) << outcome.reason;
  if (row.status == 0) {
    EXPECT_EQ(outcome.state, State::kComplete);
    EXPECT_EQ(outcome.consumed, row.body.size());
  } else {
    EXPECT_EQ(outcome.state, State::kBad);
    EXPECT_LE(outcome.consumed, row.body.size()) << "something behind a bad chunk was taken";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ChunkedTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Empty", "0\r\n\r\n", 0},
        Row{"OneChunk", "5\r\nhello\r\n0\r\n\r\n", 0},
        Row{"TwoChunks", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 0},
        Row{"DataLooksLikeFraming", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", 0},
        Row{"HexInBothCases", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", 0},
        Row{"LeadingZeros", "00005\r\nhello\r\n0000\r\n\r\n", 0},
        Row{"Extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", 0},
        Row{"QuotedExtension", "5;a=\"b;\\\"c\"\r\nhello\r\n0\r\n\r\n", 0},
        Row{"SpaceBeforeExtension", "5 \t;a\r\nhello\r\n0\r\n\r\n", 0},
        Row{"Trailer", "0\r\nX: y\r\nZ:\r\n\r\n", 0},
        Row{"ChunkLineAtItsLimit", "1;" + std::string(17, 'x') + "\r\n!\r\n0\r\n\r\n", 0},
        Row{"ChunkLineOverItsLimit", "1;" + std::string(18, 'x') + "\r\n!\r\n0\r\n\r\n", 400},
        Row{"ZerosOverTheLineLimit", std::string(50, '0'), 400},
        Row{"EndlessExtension", "1;" + std::string(1000, 'x'), 400},
        Row{"SizeMissing", "\r\n", 400},
        Row{"SizeIsExtensionOnly", ";a\r\n", 400},
        Row{"SizeWithPrefix", "0x5\r\nhello\r\n0\r\n\r\n", 400},
        Row{"SizeWithPlus", "+5\r\nhello\r\n0\r\n\r\n", 400},
        Row{"SizeWithMinus", "-5\r\nhello\r\n0\r\n\r\n", 400},
        Row{"SizeWithUnderscore", "1_0\r\n", 400},
        Row{"SizeWithSpaceBefore", " 5\r\nhello\r\n0\r\n\r\n", 400},
        Row{"SizeWithSpaceBehind", "5 \r\nhello\r\n0\r\n\r\n", 400},
        Row{"SizeIsNoHex", "5g\r\nhello\r\n0\r\n\r\n", 400},
        Row{"SizeOf64Bits", "ffffffffffffffff\r\n", 413},
        Row{"SizeOverflows", "10000000000000005\r\nhello\r\n0\r\n\r\n", 400},
        Row{"BareLfBehindSize", "5\nhello\r\n0\r\n\r\n", 400},
        Row{"BareCrBehindSize", "5\rhello\r\n0\r\n\r\n", 400},
        Row{"BareLfInExtension", "5;a\nhello\r\n0\r\n\r\n", 400},
        Row{"BareCrInExtension", "5;a\rb\r\nhello\r\n0\r\n\r\n", 400},
        Row{"NulInExtension", std::string("5;\0\r\nhello\r\n0\r\n\r\n", 17), 400},
        Row{"DataTooLong", "5\r\nhello!\r\n0\r\n\r\n", 400},
        Row{"DataTooShort", "5\r\nhell\r\n0\r\n\r\n", 400},
        Row{"BareLfBehindData", "5\r\nhello\n0\r\n\r\n", 400},
        Row{"BareCrBehindData", "5\r\nhello\r0\r\n\r\n", 400},
        Row{"NothingBehindData", "5\r\nhello0\r\n\r\n", 400},
        Row{"BareLfAtTheEnd", "0\r\n\n", 400},
        Row{"BareCrAtTheEnd", "0\r\n\rG", 400},
        Row{"TrailerWithoutColon", "0\r\nX\r\n\r\n", 400},
        Row{"TrailerNameIsNoToken", "0\r\nX Y: z\r\n\r\n", 400},
        Row{"TrailerWithoutName", "0\r\n: z\r\n\r\n", 400},
        Row{"TrailerFolded", "0\r\nX: y\r\n z\r\n\r\n", 400},
        Row{"TrailerWithBareLf", "0\r\nX: y\n\r\n", 400},
        Row{"TrailerWithBareCr", "0\r\nX: y\rz\r\n\r\n", 400},
        Row{"TrailerAtItsLimit", "0\r\nX: " + std::string(25, 'x') + "\r\n\r\n", 0},
        Row{"TrailerOverItsLimit", "0\r\nX: " + std::string(26, 'x') + "\r\n\r\n", 431},
        Row{"TrailersOverTheLimitTogether",
            "0\r\nX: " + std::string(20, 'x') + "\r\nY: " + std::string(20, 'x') + "\r\n\r\n", 431},
        Row{"ContentAtItsLimit", "64\r\n" + std::string(100, 'x') + "\r\n0\r\n\r\n", 0},
        Row{"ContentOverItsLimit", "65\r\n", 413},
        Row{"ContentOverItsLimitTogether", "64\r\n" + std::string(100, 'x') + "\r\n1\r\n", 413}}),
    RowName);

TEST(BodySkipperTest, BodyOfKnownLengthIsConsumedExactly) {
  const auto outcome = SkipAtEverySplit(OfLength(5), "helloGET /next");
  EXPECT_EQ(outcome.state, State::kComplete);
  EXPECT_EQ(outcome.consumed, 5u);
}

TEST(BodySkipperTest, UnfinishedBodyNeedsMore) {
  EXPECT_EQ(SkipAtEverySplit(OfLength(5), "hell").state, State::kNeedMore);
  EXPECT_EQ(SkipAtEverySplit(Chunked(), "5\r\nhello\r\n0\r\n").state, State::kNeedMore);
}

TEST(BodySkipperTest, RequestWithoutContentIsCompleteAtOnce) {
  for (const Request& request : {Request(), OfLength(0)}) {
    const auto outcome = BodySkipper(request, kLimits).Skip("GET /next");
    EXPECT_EQ(outcome.state, State::kComplete);
    EXPECT_EQ(outcome.consumed, 0u);
  }
}

TEST(BodySkipperTest, LengthOverTheLimitIs413BeforeAByteCame) {
  EXPECT_EQ(SkipAtEverySplit(OfLength(100), "").state, State::kNeedMore);
  for (const uint64_t length : {uint64_t{101}, ~uint64_t{0}}) {
    const auto outcome = SkipAtEverySplit(OfLength(length), "x");
    EXPECT_EQ(outcome.status, 413);
    EXPECT_EQ(outcome.consumed, 0u);
  }
}

TEST(BodySkipperTest, AfterTheEndNothingIsTaken) {
  BodySkipper bad(Chunked(), kLimits);
  ASSERT_EQ(bad.Skip("x").state, State::kBad);
  EXPECT_EQ(bad.Skip("0\r\n\r\n").state, State::kBad);
  EXPECT_EQ(bad.Skip("0\r\n\r\n").consumed, 0u);
  BodySkipper good(Chunked(), kLimits);
  ASSERT_EQ(good.Skip("0\r\n\r\n").state, State::kComplete);
  EXPECT_EQ(good.Skip("0\r\n\r\n").consumed, 0u);
}

}  // namespace
}  // namespace pollux::http

// What the differential target may excuse. For each entry of the list in fuzz/differences.cc there
// are bytes that it is for, which Pollux does read as the entry says, and bytes beside them, which
// the entry must not excuse: had Pollux refused those in the same words, the target would find it.
#include "fuzz/differences.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "core/http/request.h"
#include "fuzz/other_parser.h"

namespace pollux::fuzz {
namespace {

using http::RequestParser;
using State = RequestParser::State;

constexpr const char* kHost = "Host: a\r\n";

std::string Head(const std::string& line, const std::string& fields = kHost) {
  return line + "\r\n" + fields + "\r\n";
}

std::string Get(const std::string& fields) { return Head("GET / HTTP/1.1", kHost + fields); }

std::string Repeated(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

struct Refusal {
  int status;
  const char* reason;
  std::string excused;      // Pollux refuses it so, the other takes it
  std::string not_excused;  // the other takes it, and Pollux must not refuse it so
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.status << " " << refusal.reason << ": " << refusal.excused.substr(0, 80);
}

class StricterTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(StricterTest, IsExcusedWhereTheClauseIsAboutIt) {
  RequestParser parser(http::Limits{});
  const RequestParser::Outcome pollux = parser.Parse(GetParam().excused);
  EXPECT_EQ(pollux.state, State::kBad);
  EXPECT_EQ(pollux.status, GetParam().status);
  EXPECT_STREQ(pollux.reason, GetParam().reason);
  const Other other = ReadWithOther(GetParam().excused);
  EXPECT_TRUE(other.complete) << http_errno_name(other.error);
  EXPECT_TRUE(MayBeStricter({GetParam().excused, pollux, parser.request(), other}));
}

TEST_P(StricterTest, IsNotExcusedBesideIt) {
  const std::string& bytes = GetParam().not_excused;
  const Other other = ReadWithOther(bytes);
  EXPECT_TRUE(other.complete) << http_errno_name(other.error);
  const RequestParser::Outcome made_up = {State::kBad, 0, GetParam().status, GetParam().reason};
  EXPECT_FALSE(MayBeStricter({bytes, made_up, http::Request(), other}));
}

TEST_P(StricterTest, IsNotExcusedWithAnotherStatus) {
  const std::string& bytes = GetParam().excused;
  const Other other = ReadWithOther(bytes);
  const int status = GetParam().status == 400 ? 501 : 400;
  const RequestParser::Outcome made_up = {State::kBad, 0, status, GetParam().reason};
  EXPECT_FALSE(MayBeStricter({bytes, made_up, http::Request(), other}));
}

const Refusal kRefusals[] = {
    {400, "bad request line", Head("GET  / HTTP/1.1"), Head("GET / HTTP/1.1")},
    {400, "bad HTTP version", Head("SOURCE / ICE/1.0"), Head("GET / HTTP/1.0")},
    {400, "bad HTTP version", "GET / HTTP/1.1\nHost: a\n\n", Head("GET / HTTP/1.1")},
    {400, "bad HTTP version", "GET / HTTP/1.1\nHost: a\r\n\r\n", Get("") + "\n"},
    {400, "bare LF", "GET / HTTP/1.1\r\nHost: a\n\r\n", Get("A: b\r\n")},
    {400, "bare LF", "\n" + Get(""), Get("") + "a\nb"},
    {400, "bare CR", "\r\r" + Get(""), "\r\n" + Get("")},
    {400, "bare CR", "\r" + Get(""), Get("") + "a\rb"},
    {400, "too many empty lines before a request", Repeated("\r\n", 9) + Get(""),
     Repeated("\r\n", 7) + Get("")},
    {400, "bad header field", Get("A b: c\r\n"), Get("A: b c\r\n")},
    {400, "bad header field", Get(Repeated("Transfer-Encoding: chunked\r\n", 2)),
     Get("Transfer-Encoding: chunked\r\nA: chunked\r\n")},
    {400, "bad header field", Get("Connection: a/b\r\n"), Get("Connection: a,b\r\n")},
    {400, "bad header field", Get("Proxy-Connection: a/b\r\n"), Get("Upgrades: a/b\r\n")},
    {400, "line folding", Get("A: b\r\n c\r\n"), Get("A:  b\r\n")},
    {400, "control byte in a field", Get("A: \x01\r\n"), Get("A: \t\x80\r\n")},
    {431, "too many header fields", Get(Repeated("A: b\r\n", 100)), Get(Repeated("A: b\r\n", 99))},
    {431, "request head too large", Get("A: " + std::string(16384, 'b') + "\r\n"),
     Get("A: " + std::string(16000, 'b') + "\r\n")},
    {414, "request target too long", Head("GET /" + std::string(8192, 'a') + " HTTP/1.1"),
     Head("GET /" + std::string(8191, 'a') + " HTTP/1.1")},
    {505, "HTTP version not supported", Head("GET / HTTP/2.0"), Head("GET / HTTP/1.2")},
    {400, "no Host", Head("GET / HTTP/1.1", ""), Get("")},
    {400, "repeated Host", Get(kHost), Get("Hosts: a\r\n")},
    {400, "bad Host", Head("GET / HTTP/1.1", "Host: a b\r\n"),
     Head("GET / HTTP/1.1", "Host: [::1]:80\r\n")},
    {400, "bad Host", Head("GET / HTTP/1.1", "Host: a:65536\r\n"),
     Head("GET / HTTP/1.1", "Host: a%20b:65535\r\n")},
    {400, "bad request target", Head("GET /%2 HTTP/1.1"), Head("GET /%20?%2 HTTP/1.1")},
    {400, "bad request target", Head("GET /#x HTTP/1.1"), Head("GET /%23x HTTP/1.1")},
    {400, "bad request target", Head("GET /%00 HTTP/1.1"), Head("GET /%2500 HTTP/1.1")},
    {400, "bad request target", Head("GET * HTTP/1.1"), Head("OPTIONS * HTTP/1.1")},
    {400, "bad request target", Head("GET ftp://a/ HTTP/1.1"), Head("GET HTTPS://a/ HTTP/1.1")},
    {400, "bad request target", Head("GET http://b@a/ HTTP/1.1"), Head("GET http://a HTTP/1.1")},
    {400, "bad request target", Head("GET http://a:x/ HTTP/1.1"), Head("CONNECT a:80 HTTP/1.1")},
    {400, "Transfer-Encoding in HTTP/1.0", Head("GET / HTTP/1.0", "Transfer-Encoding: chunked\r\n"),
     Get("Transfer-Encoding: chunked\r\n")},
    {400, "bad Transfer-Encoding", Get("Transfer-Encoding: chunked, chunked\r\n"),
     Get("Transfer-Encoding: gzip, chunked\r\n")},
    {400, "bad Transfer-Encoding", Get("Transfer-Encoding: gzip\r\n"),
     Get("Transfer-Encoding: chunked\r\n")},
    {501, "transfer coding not implemented", Get("Transfer-Encoding: gzip, chunked\r\n"),
     Get("Transfer-Encoding: chunked\r\n")},
    {501, "transfer coding not implemented", Get("Transfer-Encoding: a;b=\"c\", chunked\r\n"),
     Get("Transfer-Encoding: chunked, gzip\r\n")},
    {501, "transfer coding not implemented", Get("Transfer-Encoding: Gzip, Chunked\r\n"),
     Head("GET / HTTP/1.0", "Transfer-Encoding: gzip, chunked\r\n")},
    {417, "expectation not supported", Get("Expect: x\r\n"), Get("Expect: 100-Continue\r\n")},
};

INSTANTIATE_TEST_SUITE_P(Entries, StricterTest, ::testing::ValuesIn(kRefusals));

struct Taken {
  std::string excused;      // Pollux takes it, the other does not
  std::string not_excused;  // neither takes it, and Pollux must not
};

void PrintTo(const Taken& taken, std::ostream* out) { *out << taken.excused; }

class LooserTest : public ::testing::TestWithParam<Taken> {};

TEST_P(LooserTest, IsExcusedWhereTheClauseIsAboutIt) {
  RequestParser parser(http::Limits{});
  const RequestParser::Outcome pollux = parser.Parse(GetParam().excused);
  EXPECT_EQ(pollux.state, State::kComplete) << pollux.reason;
  const Other other = ReadWithOther(GetParam().excused);
  EXPECT_FALSE(other.complete);
  EXPECT_TRUE(MayBeLooser({GetParam().excused, pollux, parser.request(), other}))
      << http_errno_name(other.error);
}

TEST_P(LooserTest, IsNotExcusedBesideIt) {
  const std::string& bytes = GetParam().not_excused;
  const Other other = ReadWithOther(bytes);
  EXPECT_FALSE(other.complete);
  // As if Pollux had taken the same method, target and length as stand there.
  http::Request request;
  request.method_name = bytes.substr(0, bytes.find(' '));
  request.target = bytes.substr(bytes.find(' ') + 1, bytes.find(" HTTP/") - bytes.find(' ') - 1);
  const RequestParser::Outcome made_up = {State::kComplete, bytes.size(), 0, ""};
  EXPECT_FALSE(MayBeLooser({bytes, made_up, request, other})) << http_errno_name(other.error);
}

INSTANTIATE_TEST_SUITE_P(
    Entries, LooserTest,
    ::testing::Values(
        Taken{Head("BREW / HTTP/1.1"), Head("G@T / HTTP/1.1")},
        Taken{Head("CONNECT a@@ HTTP/1.1"), Head("GET http://a@@ HTTP/1.1")},
        Taken{Get("Content-Length: 18446744073709551615\r\n"),
              Get("Content-Length: 18446744073709551616\r\n")},
        Taken{Get("Content-Length: 5\t\r\n"), Get("Content-Length: 5 x\r\nA: b\t\r\n")},
        Taken{Get("content-length:\t5 \t\r\n"), Get("Content-Length:\t5\t5\r\n")},
        Taken{Get("Transfer-Encodings: x\r\nContent-Length: 0\r\n"),
              Get("Transfer-Encoding: x\r\nContent-Length: 0\r\n")},
        Taken{Get("Content-Length: 0\r\ntransfer-encoding2: x\r\n"),
              Get("Transfer-Encodings: x\r\nTransfer-Encoding: x\r\nContent-Length: 0\r\n")}));

struct Persistence {
  std::string excused;      // Pollux ends the connection, the other keeps it
  std::string not_excused;  // both agree, and must
};

void PrintTo(const Persistence& persistence, std::ostream* out) { *out << persistence.excused; }

class PersistenceTest : public ::testing::TestWithParam<Persistence> {};

TEST_P(PersistenceTest, IsExcusedWhereTheClauseIsAboutIt) {
  RequestParser parser(http::Limits{});
  const RequestParser::Outcome pollux = parser.Parse(GetParam().excused);
  EXPECT_EQ(pollux.state, State::kComplete) << pollux.reason;
  const Other other = ReadWithOther(GetParam().excused);
  EXPECT_NE(other.keep_alive, parser.request().keep_alive);
  EXPECT_TRUE(MayPersistOtherwise({GetParam().excused, pollux, parser.request(), other}));
}

TEST_P(PersistenceTest, IsNotExcusedBesideIt) {
  RequestParser parser(http::Limits{});
  const RequestParser::Outcome pollux = parser.Parse(GetParam().not_excused);
  const Other other = ReadWithOther(GetParam().not_excused);
  EXPECT_EQ(other.keep_alive, parser.request().keep_alive);
  http::Request made_up = parser.request();
  made_up.keep_alive = !made_up.keep_alive;
  EXPECT_FALSE(MayPersistOtherwise({GetParam().not_excused, pollux, made_up, other}));
}

INSTANTIATE_TEST_SUITE_P(
    Entries, PersistenceTest,
    ::testing::Values(Persistence{Head("CONNECT a:80 HTTP/1.1"), Head("OPTIONS * HTTP/1.1")},
                      Persistence{Head("GET / HTTP/1.0", "Connection: keep-alive, close\r\n"),
                                  Head("GET / HTTP/1.0", "Connection: keep-alive\r\n")},
                      Persistence{
                          Head("GET / HTTP/1.0", "Connection: close\r\nConnection: keep-alive\r\n"),
                          Get("Connection: close\r\n")}));

bool ChunkedForOther(const Other& other) { return (other.flags & F_CHUNKED) != 0; }

TEST(FramingTest, ALongerNameOrATabBehindChunkedExcusesThatTheOtherSeesNoChunks) {
  for (const char* fields :
       {"transfer-encoding: chunked\r\nX: y\r\nTransfer-Encodings: x\r\n",
        "Transfer-Encoding: chunked\t\r\n", "X: y\r\ntransfer-encoding:\tChunked \t \r\n"}) {
    const std::string bytes = Get(fields);
    RequestParser parser(http::Limits{});
    const RequestParser::Outcome pollux = parser.Parse(bytes);
    EXPECT_EQ(pollux.state, State::kComplete) << pollux.reason;
    EXPECT_TRUE(parser.request().chunked) << bytes;
    const Other other = ReadWithOther(bytes);
    EXPECT_FALSE(ChunkedForOther(other)) << bytes;
    EXPECT_TRUE(MayFrameOtherwise({bytes, pollux, parser.request(), other})) << bytes;
    http::Request made_up = parser.request();
    made_up.chunked = false;
    EXPECT_FALSE(MayFrameOtherwise({bytes, pollux, made_up, other})) << bytes;
  }
}

TEST(FramingTest, NothingElseExcusesIt) {
  for (const char* fields :
       {"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encodin: x\r\n",
        "Transfer-Encodings: x\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\tchunked \r\nX: y\t\r\n", "Transfer-Encodings: chunked\r\n"}) {
    const std::string bytes = Get(fields);
    RequestParser parser(http::Limits{});
    const RequestParser::Outcome pollux = parser.Parse(bytes);
    const Other other = ReadWithOther(bytes);
    EXPECT_EQ(parser.request().chunked, ChunkedForOther(other)) << bytes;
    http::Request made_up = parser.request();
    made_up.chunked = true;
    Other made_up_too = other;
    made_up_too.flags = 0;
    EXPECT_FALSE(MayFrameOtherwise({bytes, pollux, made_up, made_up_too})) << bytes;
  }
}

}  // namespace
}  // namespace pollux::fuzz

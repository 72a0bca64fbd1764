// RFC 9110 §13: each condition alone, then their order (§13.2.2), then If-Range.
#include "core/http/preconditions.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "core/http/date.h"

namespace pollux::http {
namespace {

using Kind = PreconditionResult::Kind;

constexpr int64_t kModified = 784111777;
constexpr int64_t kNow = 1750000000;
constexpr const char* kEtag = "\"v2\"";
const std::string kDate = FormatDate(kModified);
const std::string kEarlier = FormatDate(kModified - 1);
const std::string kLater = FormatDate(kModified + 1);

Request Get() {
  Request request;
  request.method = Method::kGet;
  return request;
}

PreconditionResult Evaluate(const Request& request) {
  return EvaluatePreconditions(request, {kEtag, kModified}, kNow);
}

Kind WithIfMatch(const std::string& value) {
  Request request = Get();
  request.if_match = value;
  return Evaluate(request).kind;
}

Kind WithIfNoneMatch(const std::string& value, const char* etag = kEtag) {
  Request request = Get();
  request.if_none_match = value;
  return EvaluatePreconditions(request, {etag, kModified}, kNow).kind;
}

Kind WithIfModifiedSince(const std::string& value) {
  Request request = Get();
  request.if_modified_since = value;
  return Evaluate(request).kind;
}

Kind WithIfUnmodifiedSince(const std::string& value) {
  Request request = Get();
  request.if_unmodified_since = value;
  return Evaluate(request).kind;
}

bool RangeApplies(const std::optional<std::string>& if_range, int64_t now = kNow,
                  const char* etag = kEtag) {
  Request request = Get();
  request.range = "bytes=0-1";
  request.if_range = if_range;
  return EvaluatePreconditions(request, {etag, kModified}, now).range_applies;
}

TEST(PreconditionsTest, NoneProceeds) {
  EXPECT_EQ(Evaluate(Get()).kind, Kind::kProceed);
  EXPECT_FALSE(Evaluate(Get()).range_applies);
}

TEST(PreconditionsTest, IfMatchComparesStrongly) {
  EXPECT_EQ(WithIfMatch("\"v2\""), Kind::kProceed);
  EXPECT_EQ(WithIfMatch("\"v1\", \"v2\""), Kind::kProceed);
  EXPECT_EQ(WithIfMatch("*"), Kind::kProceed);
  EXPECT_EQ(WithIfMatch("\"v1\""), Kind::kFailed);
  EXPECT_EQ(WithIfMatch("W/\"v2\""), Kind::kFailed);
  EXPECT_EQ(WithIfMatch("\"V2\""), Kind::kFailed);
}

TEST(PreconditionsTest, MalformedIfMatchFails) {
  for (const char* value : {"", ",", "v2", "\"v2", "v2\"", "\"v2\" \"v1\"", "\"v2\", v1", "*, *",
                            "\"v2\";", "\"v1\" , \"v2\" x"}) {
    EXPECT_EQ(WithIfMatch(value), Kind::kFailed) << value;
  }
}

TEST(PreconditionsTest, IfNoneMatchComparesWeakly) {
  EXPECT_EQ(WithIfNoneMatch("\"v2\""), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch("W/\"v2\""), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch("\"v2\"", "W/\"v2\""), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch("\"v1\",W/\"v2\""), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch(" , \"v1\" ,, \"v2\", "), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch("*"), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch("\"v1\""), Kind::kProceed);
  EXPECT_EQ(WithIfNoneMatch("w/\"v2\""), Kind::kProceed) << "W/ is case-sensitive";
}

TEST(PreconditionsTest, CommasInsideOfQuotesSeparateNothing) {
  EXPECT_EQ(WithIfNoneMatch("\"a,b\"", "\"a,b\""), Kind::kNotModified);
  EXPECT_EQ(WithIfNoneMatch("\"a,\"v2\",b\""), Kind::kProceed);
}

TEST(PreconditionsTest, MalformedIfNoneMatchProceeds) {
  for (const char* value : {"", "v2", "\"v2", "\"v2\" \"v1\"", "\"v2\", v1", "\"v2\"x"}) {
    EXPECT_EQ(WithIfNoneMatch(value), Kind::kProceed) << value;
  }
}

TEST(PreconditionsTest, IfModifiedSinceComparesSeconds) {
  EXPECT_EQ(WithIfModifiedSince(kEarlier), Kind::kProceed);
  EXPECT_EQ(WithIfModifiedSince(kDate), Kind::kNotModified);
  EXPECT_EQ(WithIfModifiedSince(kLater), Kind::kNotModified);
  EXPECT_EQ(WithIfModifiedSince("Sunday, 06-Nov-94 08:49:37 GMT"), Kind::kNotModified);
  EXPECT_EQ(WithIfModifiedSince("Sun Nov  6 08:49:37 1994"), Kind::kNotModified);
}

TEST(PreconditionsTest, IfUnmodifiedSinceComparesSeconds) {
  EXPECT_EQ(WithIfUnmodifiedSince(kEarlier), Kind::kFailed);
  EXPECT_EQ(WithIfUnmodifiedSince(kDate), Kind::kProceed);
  EXPECT_EQ(WithIfUnmodifiedSince(kLater), Kind::kProceed);
}

TEST(PreconditionsTest, InvalidDatesAreIgnored) {
  for (const std::string& value : {std::string(), std::string("yesterday"), kDate + ", " + kDate}) {
    EXPECT_EQ(WithIfModifiedSince(value), Kind::kProceed) << value;
    EXPECT_EQ(WithIfUnmodifiedSince(value), Kind::kProceed) << value;
  }
}

TEST(PreconditionsTest, IfMatchBeatsIfUnmodifiedSince) {
  Request request = Get();
  request.if_match = kEtag;
  request.if_unmodified_since = kEarlier;
  EXPECT_EQ(Evaluate(request).kind, Kind::kProceed);
  request.if_match = "\"v1\"";
  request.if_unmodified_since = kLater;
  EXPECT_EQ(Evaluate(request).kind, Kind::kFailed);
}

TEST(PreconditionsTest, IfNoneMatchBeatsIfModifiedSince) {
  Request request = Get();
  request.if_none_match = "\"v1\"";
  request.if_modified_since = kLater;
  EXPECT_EQ(Evaluate(request).kind, Kind::kProceed);
  request.if_none_match = kEtag;
  request.if_modified_since = kEarlier;
  EXPECT_EQ(Evaluate(request).kind, Kind::kNotModified);
}

TEST(PreconditionsTest, FailedBeatsNotModified) {
  Request request = Get();
  request.if_none_match = kEtag;
  request.if_match = "\"v1\"";
  EXPECT_EQ(Evaluate(request).kind, Kind::kFailed);
  request.if_match.reset();
  request.if_unmodified_since = kEarlier;
  EXPECT_EQ(Evaluate(request).kind, Kind::kFailed);
}

TEST(PreconditionsTest, BothSidesHoldingIsNotModified) {
  Request request = Get();
  request.if_match = kEtag;
  request.if_none_match = kEtag;
  request.range = "bytes=0-1";
  EXPECT_EQ(Evaluate(request).kind, Kind::kNotModified);
  EXPECT_FALSE(Evaluate(request).range_applies);
}

TEST(PreconditionsTest, HeadHasThemToo) {
  Request request = Get();
  request.method = Method::kHead;
  request.if_none_match = kEtag;
  EXPECT_EQ(Evaluate(request).kind, Kind::kNotModified);
  request.if_match = "\"v1\"";
  EXPECT_EQ(Evaluate(request).kind, Kind::kFailed);
}

TEST(PreconditionsTest, OptionsHasNone) {
  Request request = Get();
  request.method = Method::kOptions;
  request.if_match = "\"v1\"";
  request.if_none_match = kEtag;
  EXPECT_EQ(Evaluate(request).kind, Kind::kProceed);
}

// A folder's listing: it exists, and that is all that can be said of it.
TEST(PreconditionsTest, WhatHasNeitherTagNorDateIsOnlyMatchedByTheAsterisk) {
  const Validators none;
  Request request = Get();
  request.if_modified_since = kLater;
  EXPECT_EQ(EvaluatePreconditions(request, none, kNow).kind, Kind::kProceed);
  request = Get();
  request.if_unmodified_since = kEarlier;
  EXPECT_EQ(EvaluatePreconditions(request, none, kNow).kind, Kind::kProceed);
  for (const auto& [value, matches] : {std::pair{"*", true}, {"\"\"", false}, {kEtag, false}}) {
    request = Get();
    request.if_match = value;
    EXPECT_EQ(EvaluatePreconditions(request, none, kNow).kind,
              matches ? Kind::kProceed : Kind::kFailed);
    request = Get();
    request.if_none_match = value;
    EXPECT_EQ(EvaluatePreconditions(request, none, kNow).kind,
              matches ? Kind::kNotModified : Kind::kProceed);
  }
  request = Get();
  request.range = "bytes=0-1";
  request.if_range = kEarlier;
  EXPECT_FALSE(EvaluatePreconditions(request, none, kNow).range_applies);
}

TEST(PreconditionsTest, RangeIsForGetOnly) {
  Request request = Get();
  request.range = "bytes=0-1";
  EXPECT_TRUE(Evaluate(request).range_applies);
  request.method = Method::kHead;
  EXPECT_FALSE(Evaluate(request).range_applies);
}

TEST(IfRangeTest, EtagComparesStrongly) {
  EXPECT_TRUE(RangeApplies(std::nullopt));
  EXPECT_TRUE(RangeApplies("\"v2\""));
  EXPECT_FALSE(RangeApplies("\"v1\""));
  EXPECT_FALSE(RangeApplies("W/\"v2\""));
  EXPECT_FALSE(RangeApplies("W/\"v2\"", kNow, "W/\"v2\""));
  EXPECT_FALSE(RangeApplies("\"v2\"", kNow, "W/\"v2\""));
}

TEST(IfRangeTest, WhatIsNoSingleValidatorDoesNotHold) {
  for (const char* value : {"", "*", "v2", "\"v2", "\"v1\", \"v2\"", "\"v2\", \"v2\"", "\"v2\"x"}) {
    EXPECT_FALSE(RangeApplies(value)) << value;
  }
}

TEST(IfRangeTest, DateMustBeTheVeryOne) {
  EXPECT_TRUE(RangeApplies(kDate));
  EXPECT_FALSE(RangeApplies(kEarlier));
  EXPECT_FALSE(RangeApplies(kLater));
}

// RFC 9110 §8.8.2.2: within its second, the file may change again without a new date.
TEST(IfRangeTest, DateThatIsNotOverIsNoStrongValidator) {
  EXPECT_FALSE(RangeApplies(kDate, kModified));
  EXPECT_FALSE(RangeApplies(kDate, kModified - 1));
  EXPECT_TRUE(RangeApplies(kDate, kModified + 1));
}

TEST(IfRangeTest, MattersOnlyWithRange) {
  Request request = Get();
  request.if_range = kEtag;
  EXPECT_FALSE(Evaluate(request).range_applies);
}

}  // namespace
}  // namespace pollux::http

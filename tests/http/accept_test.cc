#include "core/http/accept.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pollux::http {
namespace {

struct Row {
  const char* name;
  std::string accept;
  int html;
  int json;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.accept; }

class AcceptTest : public testing::TestWithParam<Row> {};

TEST_P(AcceptTest, WeighsHtmlAndJson) {
  EXPECT_EQ(AcceptWeight(GetParam().accept, "text/html"), GetParam().html);
  EXPECT_EQ(AcceptWeight(GetParam().accept, "application/json"), GetParam().json);
}

// RFC 9110 §12.5.1 and §12.4.2.
INSTANTIATE_TEST_SUITE_P(
    Rows, AcceptTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"NoField", "", 1000, 1000},
        Row{"OnlySpaces", " \t", 1000, 1000},
        Row{"Everything", "*/*", 1000, 1000},
        Row{"Json", "application/json", 0, 1000},
        Row{"Html", "text/html", 1000, 0},
        Row{"TypesAreCaseInsensitive", "Text/HTML, APPLICATION/Json;Q=0.5", 1000, 500},
        Row{"AllOfText", "text/*", 1000, 0},
        Row{"AllOfApplication", "application/*;q=0.1", 0, 100},
        Row{"Weights", "text/html;q=0.3, application/json;q=0.7", 300, 700},
        Row{"WeightsOfThreeDigits", "text/html;q=0.123,application/json;q=0.124", 123, 124},
        Row{"WeightOfOne", "text/html;q=1.000, application/json;q=1", 1000, 1000},
        Row{"WeightZeroRefuses", "text/html;q=0, */*", 0, 1000},
        Row{"SpecificBeatsGeneral", "*/*;q=0.1, application/*;q=0.2, application/json;q=0.3", 100,
            300},
        Row{"SpecificBeatsGeneralInAnyOrder", "application/json;q=0.3,*/*;q=0.9", 900, 300},
        Row{"SpacesAnywhere", " text/html ; q=0.5 ,\tapplication/json ;q=0.6 ", 500, 600},
        Row{"EmptyElements", ",,application/json,,", 0, 1000},
        Row{"Chromium",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
            "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
            1000, 800},
        Row{"OtherTypesOnly", "image/png", 0, 0},
        Row{"AParameterMatchesNothingHere", "text/html;level=1, */*;q=0.4", 400, 400},
        Row{"CommaInAQuotedParameter", "a/b;x=\"text/html,application/json\", text/html;q=0.2", 200,
            0},
        Row{"QuoteInAQuotedParameter", "a/b;x=\"\\\",text/html\", application/json", 0, 1000},
        Row{"UnclosedQuote", "a/b;x=\"\\", 0, 0},
        Row{"WeightTooLarge", "application/json;q=1.001, text/html", 1000, 0},
        Row{"WeightOfFourDigits", "application/json;q=0.1234, text/html", 1000, 0},
        Row{"WeightIsNoNumber", "application/json;q=high, text/html", 1000, 0},
        Row{"WeightWithoutDigits", "application/json;q=, text/html", 1000, 0},
        Row{"NegativeWeight", "application/json;q=-1, text/html", 1000, 0},
        Row{"WhatFollowsTheWeightIsIgnored", "application/json;q=0.5;ext=1", 0, 500},
        Row{"HalfAWildcard", "*/json, */html", 0, 0},
        Row{"NoSlash", "json, html", 0, 0},
        Row{"APrefixIsNoMatch", "text/htm, application/jsonx", 0, 0},
        Row{"RepeatedTheFirstCounts", "text/html;q=0.1, text/html;q=0.9", 100, 0}}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace pollux::http

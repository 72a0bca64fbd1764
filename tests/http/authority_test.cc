// Hosts with their ports: registered names, IPv4 addresses, literals in brackets.
#include "core/http/authority.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pollux::http {
namespace {

struct Row {
  const char* name;
  std::string text;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.text; }

std::string RowName(const testing::TestParamInfo<Row>& info) { return info.param.name; }

class HostAndPortTest : public testing::TestWithParam<Row> {};
class NoHostAndPortTest : public testing::TestWithParam<Row> {};

TEST_P(HostAndPortTest, IsOne) { EXPECT_TRUE(IsHostAndPort(GetParam().text)); }
TEST_P(NoHostAndPortTest, IsNone) { EXPECT_FALSE(IsHostAndPort(GetParam().text)); }

INSTANTIATE_TEST_SUITE_P(
    Names, HostAndPortTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Empty", ""}, Row{"Plain", "pollux.example"}, Row{"WithPort", "pollux.example:8080"},
        Row{"WithEmptyPort", "pollux.example:"}, Row{"WithNothingButAPort", ":80"},
        Row{"LargestPort", "a:65535"}, Row{"PortWithZeros", "a:000080"},
        Row{"UpperCaseAndUnderscore", "A_B"}, Row{"Tilde", "~a"}, Row{"SubDelims", "!$&'()*+,;="},
        Row{"Escapes", "%41%c3%A4"}, Row{"EscapedNul", "%00"}, Row{"NothingButDots", "..."}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    NamesThatBeginLikeAddresses, HostAndPortTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Address", "127.0.0.1"}, Row{"AddressWithPort", "127.0.0.1:80"},
        Row{"AddressAndDot", "127.0.0.1.:80"}, Row{"AddressAndName", "1.2.3.4.example"},
        Row{"AddressAndTilde", "127.0.0.0.~1:80"}, Row{"AddressAndUnderscore", "1.2.3.4_x"},
        Row{"AddressAndEscape", "1.2.3.4%2e"}, Row{"FiveNumbers", "1.2.3.4.5"},
        Row{"NumberTooLarge", "1.2.3.256"}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(Literals, HostAndPortTest,
                         testing::ValuesIn(std::vector<Row>{
                             Row{"Ipv6", "[::1]"}, Row{"Ipv6WithPort", "[2001:db8::1]:80"},
                             Row{"Ipv6WithEmptyPort", "[::1]:"},
                             Row{"Ipv6WithIpv4", "[::ffff:1.2.3.4]"}, Row{"Future", "[v1.a:b]"},
                             Row{"FutureUpperCase", "[VfF.~]:80"}}),
                         RowName);

INSTANTIATE_TEST_SUITE_P(
    Names, NoHostAndPortTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Space", "a b"}, Row{"Nul", std::string("a\0", 2)}, Row{"AboveAscii", "\xc3\xa4"},
        Row{"UserInformation", "user@a"}, Row{"UserAndPassword", "user:1@a"}, Row{"Slash", "a/b"},
        Row{"Comma80", "a:80,a:80"}, Row{"CutEscape", "a%4"}, Row{"CutEscapeAtPercent", "a%"},
        Row{"BrokenEscape", "%4g"}, Row{"EscapeIntoThePort", "%4:1"},
        Row{"PortTooLarge", "a:65536"}, Row{"PortThatOverflows", "a:99999999999999999999"},
        Row{"PortWithSign", "a:+80"}, Row{"PortThatIsNoNumber", "a:http"},
        Row{"TwoPorts", "a:80:80"}, Row{"Ipv6WithoutBrackets", "::1"}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Literals, NoHostAndPortTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Open", "[::1"}, Row{"Bracket", "["}, Row{"Empty", "[]"},
        Row{"Nul", std::string("[::\0]", 5)}, Row{"Ipv4", "[127.0.0.1]"}, Row{"Name", "[a]"},
        Row{"TwoGaps", "[1::2::3]"}, Row{"Zone", "[fe80::1%25lo]"},
        Row{"FutureWithoutVersion", "[v.a]"}, Row{"FutureWithoutAddress", "[v1.]"},
        Row{"FutureWithoutDot", "[v1]"}, Row{"FutureWithBadVersion", "[vg.a]"},
        Row{"FutureWithEscape", "[v1.%41]"}, Row{"FutureWithBracket", "[v1.[]"},
        Row{"FollowedByAName", "[::1]a"}, Row{"PortTooLarge", "[::1]:65536"},
        Row{"PortThatIsNoNumber", "[::1]:8o"}, Row{"BehindAUser", "user@[::1]"}}),
    RowName);

}  // namespace
}  // namespace pollux::http

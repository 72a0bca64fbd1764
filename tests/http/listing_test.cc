// What a folder's listing looks like: as HTML, as JSON, and with names that mean harm.
#include "core/http/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/http/target.h"

namespace pollux::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kModified = 784111777;  // 1994-11-06T08:49:37Z

std::string Render(ListingFormat format, std::string_view path,
                   const std::vector<ListingEntry>& entries, bool sorted = true) {
  const auto writer = MakeListing(format);
  std::string out;
  writer->Begin(path, sorted, out);
  for (const ListingEntry& entry : entries) writer->Add(entry, out);
  writer->End(out);
  return out;
}

std::string Html(const std::vector<ListingEntry>& entries, std::string_view path = "/d/") {
  return Render(ListingFormat::kHtml, path, entries);
}

nlohmann::json Json(const std::vector<ListingEntry>& entries, std::string_view path = "/d/") {
  return nlohmann::json::parse(Render(ListingFormat::kJson, path, entries));
}

TEST(HtmlListingTest, AnEntryHasItsLinkItsSizeAndItsDate) {
  const std::string html = Html({{"a b.txt", false, 1234567, kModified}});
  EXPECT_THAT(html, HasSubstr("<a href=\"a%20b.txt\"><bdi>a b.txt</bdi></a>"));
  EXPECT_THAT(html, HasSubstr("1.1 MiB<small>1,234,567 B</small>"));
  EXPECT_THAT(html, HasSubstr("<time datetime=\"1994-11-06T08:49:37Z\">1994-11-06 08:49</time>"));
}

TEST(HtmlListingTest, AFolderEndsInASlashAndHasNoSize) {
  const std::string html = Html({{"sub", true, 4096, kModified}});
  EXPECT_THAT(html, HasSubstr("<a href=\"sub/\"><bdi>sub</bdi>/</a></td><td class=\"size\"></td>"));
}

TEST(HtmlListingTest, TheRootHasNoParent) {
  EXPECT_THAT(Html({}, "/"), Not(HasSubstr("href=\"../\"")));
  EXPECT_THAT(Html({}, "/d/"), HasSubstr("<td><a href=\"../\">../</a></td>"));
}

TEST(HtmlListingTest, TheTrailLeadsToEveryFolderAbove) {
  const std::string html = Html({}, "/a/b c/");
  EXPECT_THAT(html, HasSubstr("<a href=\"../../\"><bdi>/</bdi></a>"
                              "<a href=\"../\"><bdi>a</bdi></a> / "
                              "<a href=\"./\"><bdi>b c</bdi></a> / "));
}

TEST(HtmlListingTest, TheTrailOfADeepFolderIsNotLongerThanItsPath) {
  std::string path = "/";
  for (int i = 0; i < 2000; ++i) path += "a/";
  EXPECT_LT(Html({}, path).size(), Html({}, "/").size() + 3 * path.size());
  EXPECT_THAT(Html({}, path), HasSubstr("<bdi>" + path + "</bdi>"));
}

TEST(HtmlListingTest, ItEndsWithASum) {
  EXPECT_THAT(Html({{"d", true}, {"a", false, 1000}, {"b", false, 24}}),
              HasSubstr("<p>1 folder, 2 files, 1.0 KiB</p>"));
}

TEST(HtmlListingTest, ItSaysWhenItIsNotSorted) {
  const std::string note = "too many entries to sort";
  EXPECT_THAT(Render(ListingFormat::kHtml, "/", {}, false), HasSubstr(note));
  EXPECT_THAT(Render(ListingFormat::kHtml, "/", {}, true), Not(HasSubstr(note)));
}

TEST(HtmlListingTest, NeedsNothingFromElsewhere) {
  const std::string html = Html({{"a", false, 5, kModified}});
  for (const char* word : {"<script", "src=", "http://", "https://", "@import", "url("}) {
    EXPECT_THAT(html, Not(HasSubstr(word)));
  }
}

TEST(HtmlListingTest, NoNameBreaksOutOfItsPlace) {
  const std::string evil = "\"><script>alert(1)</script>&amp;'";
  const std::string html = Html({{evil, false, 1, kModified}}, "/" + evil + "/");
  EXPECT_THAT(html, Not(HasSubstr("<script>")));
  EXPECT_THAT(html, HasSubstr("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&#39;"));
}

TEST(HtmlListingTest, ControlsAndWhatIsNoTextAreShownAsSuch) {
  const std::string html = Html({{"a\nb\x7f\xff", false, 1, kModified}});
  EXPECT_THAT(html, HasSubstr("<bdi>a\xe2\x90\x8a"
                              "b\xe2\x90\xa1\xef\xbf\xbd</bdi>"));
  EXPECT_THAT(html, HasSubstr("href=\"a%0Ab%7F%FF\""));
}

// "javascript:" or "//host" would lead elsewhere.
TEST(ListingTest, NoLinkLeavesTheFolder) {
  for (const char* name :
       {"javascript:alert(1)", "http://x", "\\\\host", "?q", "#f", "a:b", "%2e"}) {
    const std::string html = Html({{name, false, 1, kModified}});
    const std::string href = EncodePath(name);
    EXPECT_EQ(href.find_first_of(":?#\\\""), std::string::npos) << name;
    EXPECT_THAT(html, HasSubstr("<a href=\"" + href + "\">"));
  }
}

TEST(ListingTest, EveryByteOfANameComesBackFromItsLink) {
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    const std::string name = std::string("x") + static_cast<char>(byte) + "y";
    const auto json = Json({{name, false, 1, kModified}});
    const std::string href = json["entries"][0]["href"];
    const auto target = ParseTarget("/d/" + href);
    ASSERT_TRUE(target) << byte;
    EXPECT_EQ(target->path, "/d/" + name) << byte;
  }
}

TEST(JsonListingTest, SaysWhatIsKnown) {
  const auto json = Json({{"sub", true, 4096, kModified}, {"a b", false, 5, kModified}});
  EXPECT_EQ(json, nlohmann::json::parse(R"({"path": "/d/", "sorted": true, "entries": [
      {"name": "sub", "href": "sub/", "type": "directory", "modified": "1994-11-06T08:49:37Z"},
      {"name": "a b", "href": "a%20b", "type": "file", "size": 5,
       "modified": "1994-11-06T08:49:37Z"}]})"));
  EXPECT_EQ(nlohmann::json::parse(Render(ListingFormat::kJson, "/", {}, false)),
            nlohmann::json::parse(R"({"path": "/", "sorted": false, "entries": []})"));
}

TEST(JsonListingTest, NamesAreTextWhateverTheirBytes) {
  const auto json = Json({{"\"\\\n\x01\x7f", false, 1, 0}, {"\xff\xc3\xa4\xc3", false, 1, 0}});
  EXPECT_EQ(json["entries"][0]["name"], "\"\\\n\x01\x7f");
  EXPECT_EQ(json["entries"][1]["name"], "\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd");
  EXPECT_EQ(json["entries"][1]["href"], "%FF%C3%A4%C3");
}

TEST(ListingTest, SizesForPeople) {
  const std::vector<std::pair<uint64_t, const char*>> rows = {{0, "0 B"},
                                                              {1023, "1023 B"},
                                                              {1024, "1.0 KiB"},
                                                              {1536, "1.5 KiB"},
                                                              {10239, "9.9 KiB"},
                                                              {10240, "10 KiB"},
                                                              {1048575, "1023 KiB"},
                                                              {1048576, "1.0 MiB"},
                                                              {uint64_t{700} << 20, "700 MiB"},
                                                              {uint64_t{5} << 30, "5.0 GiB"},
                                                              {UINT64_MAX, "15 EiB"}};
  for (const auto& [bytes, text] : rows) EXPECT_EQ(HumanSize(bytes), text);
}

TEST(ListingTest, JsonIsSentToWhoPrefersIt) {
  EXPECT_EQ(ChooseListingFormat(""), ListingFormat::kHtml);
  EXPECT_EQ(ChooseListingFormat("*/*"), ListingFormat::kHtml);
  EXPECT_EQ(ChooseListingFormat("application/json"), ListingFormat::kJson);
  EXPECT_EQ(ChooseListingFormat("text/html;q=0.5, application/json;q=0.6"), ListingFormat::kJson);
  EXPECT_EQ(ChooseListingFormat("text/html, application/json"), ListingFormat::kHtml);
  EXPECT_EQ(ChooseListingFormat("image/png"), ListingFormat::kHtml);
}

}  // namespace
}  // namespace pollux::http

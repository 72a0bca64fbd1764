#include "core/http/mime.h"

#include <gtest/gtest.h>

#include <string>

namespace pollux::http {
namespace {

constexpr std::string_view kDefault = "application/octet-stream";

TEST(MimeTypesTest, ExtensionDecidesWhateverItsCase) {
  const MimeTypes types("text/html html htm\nimage/jpeg\t\tjpeg JPG\n");
  EXPECT_EQ(types.TypeOf("/a/index.html"), "text/html");
  EXPECT_EQ(types.TypeOf("INDEX.HTM"), "text/html");
  EXPECT_EQ(types.TypeOf("/x.jpg"), "image/jpeg");
  EXPECT_EQ(types.TypeOf("/x.tar.jpeg"), "image/jpeg");
}

TEST(MimeTypesTest, WhatHasNoKnownExtensionIsOctetStream) {
  const MimeTypes types("text/html html\n");
  for (const char* path : {"", "/", ".", "/html", "/.html", "/x.", "/x.htmlx", "/x.html/y",
                           "/x.html.", "/a.html/", "x.\xff"}) {
    EXPECT_EQ(types.TypeOf(path), kDefault) << path;
  }
  EXPECT_EQ(types.TypeOf("/x." + std::string(100000, 'h')), kDefault);
}

TEST(MimeTypesTest, FirstTypeOfAnExtensionWins) {
  EXPECT_EQ(MimeTypes("a/b x\nc/d x y\n").TypeOf("f.x"), "a/b");
  EXPECT_EQ(MimeTypes("a/b x\nc/d x y\n").TypeOf("f.y"), "c/d");
}

TEST(MimeTypesTest, CommentsEmptyLinesAndLinesWithoutExtensionsSayNothing) {
  const MimeTypes types("# text/html x\n\n   \ntext/plain\n\ntext/css css # x y\r\n# end");
  EXPECT_EQ(types.TypeOf("f.css"), "text/css");
  for (const char* path : {"f.x", "f.y", "f.#", "f.text/plain", "f.end"}) {
    EXPECT_EQ(types.TypeOf(path), kDefault) << path;
  }
}

TEST(MimeTypesTest, LastLineNeedsNoEnd) { EXPECT_EQ(MimeTypes("a/b x").TypeOf("f.x"), "a/b"); }

TEST(MimeTypesTest, EmptyTextIsATableWithoutTypes) {
  EXPECT_EQ(MimeTypes("").TypeOf("f.html"), kDefault);
}

// Into a response head goes only what may stand there.
TEST(MimeTypesTest, TypesThatAreNoneAreSkipped) {
  using namespace std::string_view_literals;
  const MimeTypes types(
      "text html\n/html html\ntext/ html\na/b/c html\n"
      "te\0xt/html html\ntext/h\x01tml html\ntext/(x) html\n"sv);
  EXPECT_EQ(types.TypeOf("f.html"), kDefault);
}

}  // namespace
}  // namespace pollux::http

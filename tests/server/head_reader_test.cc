#include "core/server/head_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace pollux {
namespace {

void Append(InputBuffer& buffer, std::string_view bytes) {
  ASSERT_GE(buffer.MakeRoom(), bytes.size());
  std::memcpy(buffer.room(), bytes.data(), bytes.size());
  buffer.Filled(bytes.size());
}

TEST(InputBufferTest, KeepsWhatIsNotConsumed) {
  InputBuffer buffer(8192);
  Append(buffer, "abcdef");
  buffer.Consume(2);
  EXPECT_EQ(buffer.bytes(), "cdef");
  Append(buffer, "gh");
  EXPECT_EQ(buffer.bytes(), "cdefgh");
  buffer.Consume(6);
  EXPECT_TRUE(buffer.empty());
}

TEST(InputBufferTest, MovesBeforeItGrows) {
  InputBuffer buffer(InputBuffer::kInitialBytes);
  Append(buffer, std::string(InputBuffer::kInitialBytes, 'a'));
  EXPECT_EQ(buffer.MakeRoom(), 0u);
  buffer.Consume(InputBuffer::kInitialBytes - 3);
  EXPECT_EQ(buffer.MakeRoom(), InputBuffer::kInitialBytes - 3);
  EXPECT_EQ(buffer.bytes(), "aaa");
}

TEST(InputBufferTest, GrowsToItsLimitAndNoFurther) {
  const size_t limit = 3 * InputBuffer::kInitialBytes;
  InputBuffer buffer(limit);
  std::string expected;
  for (char fill = 'a';; ++fill) {
    const size_t room = buffer.MakeRoom();
    if (room == 0) break;
    Append(buffer, std::string(room, fill));
    expected += std::string(room, fill);
    ASSERT_LE(expected.size(), limit);
  }
  EXPECT_EQ(expected.size(), limit);
  EXPECT_EQ(buffer.bytes(), expected);
}

TEST(HeadReaderPoolTest, LendsWhatWasGivenBackWithNothingInIt) {
  HeadReaderPool pool{http::Limits{}};
  std::unique_ptr<HeadReader> reader = pool.Take();
  HeadReader* const first = reader.get();
  Append(reader->input, "GET / HT");
  reader->parser.Parse("GET / HT");
  pool.GiveBack(std::move(reader));
  reader = pool.Take();
  EXPECT_EQ(reader.get(), first);
  EXPECT_TRUE(reader->input.empty());
  EXPECT_FALSE(reader->parser.started());
  pool.GiveBack(nullptr);
}

}  // namespace
}  // namespace pollux

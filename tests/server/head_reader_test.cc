#include "core/server/head_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace pollux {
namespace {

void Fill(InputBuffer& buffer, std::string_view bytes) {
  std::memcpy(buffer.room(), bytes.data(), bytes.size());
  buffer.Filled(bytes.size());
}

TEST(InputBufferTest, KeepsWhatIsNotConsumed) {
  InputBuffer buffer;
  Fill(buffer, "abcdef");
  buffer.Consume(2);
  EXPECT_EQ(buffer.bytes(), "cdef");
  buffer.Consume(4);
  EXPECT_TRUE(buffer.empty());
}

TEST(InputBufferTest, TakesAsMuchAgainWhenAllIsConsumed) {
  InputBuffer buffer;
  for (const char fill : {'a', 'b'}) {
    const std::string bytes(InputBuffer::kBytes, fill);
    Fill(buffer, bytes);
    EXPECT_EQ(buffer.bytes(), bytes);
    buffer.Consume(bytes.size());
  }
}

TEST(InputBufferDeathTest, ReceivesNothingOverWhatIsNotParsed) {
  InputBuffer buffer;
  Fill(buffer, "abcdef");
  buffer.Consume(5);
  EXPECT_DEATH(buffer.Filled(1), "empty\\(\\)");
}

TEST(HeadReaderPoolTest, LendsWhatWasGivenBackWithNothingInIt) {
  HeadReaderPool pool{http::Limits{}};
  std::unique_ptr<HeadReader> reader = pool.Take();
  HeadReader* const first = reader.get();
  Fill(reader->input, "GET / HT");
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

#include "core/server/error_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(ErrorAdviceTest, ShortagesNameWhatToRaise) {
  EXPECT_THAT(WhatToDo({EMFILE, "openat2"}), HasSubstr("; raise RLIMIT_NOFILE"));
  EXPECT_THAT(WhatToDo({ENFILE, "accept4"}), HasSubstr("fs.file-max"));
  EXPECT_THAT(WhatToDo({ENOMEM, "accept4"}), HasSubstr("memory"));
}

TEST(ErrorAdviceTest, NoSpaceMeansSomethingElseToEpoll) {
  EXPECT_THAT(WhatToDo({ENOSPC, "epoll_ctl"}), HasSubstr("fs.epoll.max_user_watches"));
  EXPECT_THAT(WhatToDo({ENOSPC, "write"}), HasSubstr("make room"));
}

TEST(ErrorAdviceTest, WhatSpeaksForItselfHasNoAdvice) {
  EXPECT_EQ(WhatToDo({ECONNRESET, "recv"}), "");
}

TEST(RepeatedErrorsTest, TheFirstOfEachErrnoIsLogged) {
  RepeatedErrors errors;
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, TimePoint()), 0u);
  EXPECT_EQ(errors.Admit({EIO, "openat2"}, TimePoint()), 0u);
}

TEST(RepeatedErrorsTest, OneLineASecondWhichCountsTheOthers) {
  RepeatedErrors errors;
  const TimePoint start = TimePoint() + milliseconds(5);
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, start), 0u);
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, start), std::nullopt);
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, start + milliseconds(999)), std::nullopt);
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, start + milliseconds(1000)), 2u);
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, start + milliseconds(1001)), std::nullopt);
  EXPECT_EQ(errors.Admit({EMFILE, "openat2"}, start + milliseconds(2000)), 1u);
}

}  // namespace
}  // namespace pollux

// Who is called by the loop: registrations, the dispatch of descriptors, jobs.
#include "core/event/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/event/event_loop_fixture.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Return;

// --- Registrations

TEST_F(EventLoopTest, RegistrationEntersAndLeavesThePollSet) {
  Callback callback = Logging("a");
  EXPECT_CALL(handler_, Add(7, POLLIN, _));
  Registration registration = Register(7, callback);
  EXPECT_TRUE(registration.valid());
  EXPECT_EQ(registration.events(), static_cast<uint32_t>(POLLIN));
  EXPECT_CALL(handler_, Remove(7)).Times(1);
  registration.Reset();
  EXPECT_FALSE(registration.valid());
  registration.Reset();  // again: no effect
}

TEST_F(EventLoopTest, EachErrnoOfAddIsReturnedAndNothingIsRegistered) {
  Callback callback = Logging("a");
  EXPECT_CALL(handler_, Remove).Times(0);
  for (const int code : {EEXIST, ENOMEM, ENOSPC, EPERM}) {
    EXPECT_CALL(handler_, Add).WillOnce(Return(Err(code, "epoll_ctl")));
    EXPECT_EQ(loop_->Register(7, POLLIN, &callback).error().code, code);
  }
}

TEST_F(EventLoopTest, SetEventsMakesNoCallIfNothingChanges) {
  Callback callback = Logging("a");
  Registration registration = Register(7, callback);
  EXPECT_CALL(handler_, Modify).Times(0);
  EXPECT_TRUE(registration.SetEvents(POLLIN));
  EXPECT_CALL(handler_, Modify(7, POLLOUT, tokens_[7])).Times(1);
  EXPECT_TRUE(registration.SetEvents(POLLOUT));
}

TEST_F(EventLoopTest, EventsStayAsTheyWereIfModifyFails) {
  Callback callback = Logging("a");
  Registration registration = Register(7, callback);
  EXPECT_CALL(handler_, Modify).WillOnce(Return(Err(ENOMEM, "epoll_ctl")));
  EXPECT_EQ(registration.SetEvents(POLLOUT).error().code, ENOMEM);
  EXPECT_EQ(registration.events(), static_cast<uint32_t>(POLLIN));
}

TEST_F(EventLoopTest, MovedRegistrationIsRemovedOnce) {
  Callback callback = Logging("a");
  EXPECT_CALL(handler_, Remove(7)).Times(1);
  EXPECT_CALL(handler_, Remove(8)).Times(1);
  Registration first = Register(7, callback);
  Registration second = Register(8, callback);
  second = std::move(first);  // 8 leaves
  Registration third(std::move(second));
  EXPECT_FALSE(first.valid());
  EXPECT_TRUE(third.valid());
}

TEST_F(EventLoopTest, TokenIsNeverTheCoordinationsOwn) {
  Callback callback = Logging("a");
  Registration registration = Register(7, callback);
  EXPECT_NE(tokens_[7], kCoordinationToken);
}

// --- Dispatch of descriptors

TEST_F(EventLoopTest, CallbackIsGivenWhatWasReported) {
  uint32_t seen = 0;
  Callback callback([&](uint32_t revents) { seen = revents; });
  Registration registration = Register(7, callback, POLLIN | POLLOUT);
  coordination_.reports = {Ready(7, POLLOUT | POLLHUP)};
  Turn();
  EXPECT_EQ(seen, static_cast<uint32_t>(POLLOUT | POLLHUP));
}

TEST_F(EventLoopTest, HandlerUnregisteredDuringDispatchIsNotCalled) {
  Registration victim;
  Callback first([&](uint32_t) {
    Log("first");
    victim.Reset();
  });
  Callback second = Logging("victim");
  Registration registration = Register(7, first);
  victim = Register(8, second);
  coordination_.reports = {Ready(7), Ready(8)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("first"));
}

TEST_F(EventLoopTest, HandlerMayUnregisterItself) {
  Registration registration;
  Callback callback([&](uint32_t) {
    Log("called");
    registration.Reset();
  });
  registration = Register(7, callback);
  coordination_.reports = {Ready(7), Ready(7)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("called"));
}

TEST_F(EventLoopTest, SameDescriptorNumberRegisteredAnewIsNotGivenTheOldOnesEvents) {
  Registration victim;
  Registration successor;
  Callback old_owner = Logging("old");
  Callback new_owner = Logging("new");
  Callback first([&](uint32_t) {
    victim.Reset();  // closed, and the next accept returned the same number
    successor = Register(8, new_owner);
  });
  Registration registration = Register(7, first);
  victim = Register(8, old_owner);
  const FdReady stale = Ready(8);
  coordination_.reports = {Ready(7), stale};
  Turn();
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_NE(tokens_[8], stale.token);
  coordination_.reports = {Ready(8)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("new"));
}

TEST_F(EventLoopTest, EventsThatAreNoLongerWantedAreNotDelivered) {
  Registration other;
  Callback first([&](uint32_t) { ASSERT_TRUE(other.SetEvents(0)); });
  std::vector<uint32_t> seen;
  Callback second([&](uint32_t revents) { seen.push_back(revents); });
  Registration registration = Register(7, first);
  other = Register(8, second);
  coordination_.reports = {Ready(7), Ready(8, POLLIN)};
  Turn();
  EXPECT_THAT(seen, IsEmpty());
  coordination_.reports = {Ready(7), Ready(8, POLLIN | POLLERR)};
  Turn();
  EXPECT_THAT(seen, ElementsAre(POLLERR));
}

TEST_F(EventLoopTest, CallbackMayRegisterMany) {
  std::vector<Registration> made;
  Callback quiet = Logging("quiet");
  Callback first([&](uint32_t) {
    for (int fd = 100; fd < 400; ++fd) made.push_back(Register(fd, quiet));
  });
  Callback second = Logging("second");
  Registration a = Register(7, first);
  Registration b = Register(8, second);
  coordination_.reports = {Ready(7), Ready(8)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("second"));
}

// --- Jobs

TEST_F(EventLoopTest, PostedJobRunsAtTheEndOfATurnThatDoesNotSleep) {
  NamedJob job([&] { Log("job"); });
  loop_->Post(job);
  EXPECT_TRUE(job.queued());
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_THAT(log_, ElementsAre("job"));
  EXPECT_FALSE(job.queued());
  Turn();
  EXPECT_THAT(log_, ElementsAre("job"));
}

TEST_F(EventLoopTest, PostingAQueuedJobHasNoEffect) {
  NamedJob first([&] { Log("first"); });
  NamedJob second([&] { Log("second"); });
  loop_->Post(first);
  loop_->Post(second);
  loop_->Post(first);
  Turn();
  EXPECT_THAT(log_, ElementsAre("first", "second"));
}

TEST_F(EventLoopTest, JobPostedByAJobRunsAfterNewEventsWereCollected) {
  NamedJob job([&] {
    Log("job");
    if (log_.size() < 3) loop_->Post(job);
  });
  Callback callback = Logging("descriptor");
  Registration registration = Register(7, callback);
  loop_->Post(job);
  Turn();
  coordination_.reports = {Ready(7)};
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_THAT(log_, ElementsAre("job", "descriptor", "job"));
}

TEST_F(EventLoopTest, DestroyedJobLeavesTheJoblistEvenWhileItRuns) {
  auto victim = std::make_unique<NamedJob>([&] { Log("victim"); });
  std::unique_ptr<NamedJob> own;
  own = std::make_unique<NamedJob>([&] {
    victim.reset();
    own.reset();
  });
  NamedJob last([&] { Log("last"); });
  loop_->Post(*own);
  loop_->Post(*victim);
  loop_->Post(last);
  Turn();
  EXPECT_THAT(log_, ElementsAre("last"));
}

TEST_F(EventLoopTest, JobMayOutliveTheLoop) {
  NamedJob job([] {});
  loop_->Post(job);
  loop_.reset();
  EXPECT_FALSE(job.queued());
}

}  // namespace
}  // namespace pollux

// The table of 2006 in virtual time: what must come out whatever the exact figures are. No clock
// and no chance is in it, so that a failure is a change of the core or of the model.
#include "fakes/scenarios/table.h"

#include <gtest/gtest.h>

namespace pollux::sim {
namespace {

class TableTest : public ::testing::Test {
 protected:
  TableTest() {
    options_.disk = disk::ParseShape("raid1-2006").value().value();
    options_.duration = std::chrono::seconds(8);
  }
  double Rate(BackendKind backend, unsigned connections, const char* chunk = "1M") {
    const TableResult result = RunTableCell({backend, chunk, connections}, options_, resources_);
    EXPECT_EQ(result.violation, std::nullopt)
        << ToString(backend) << ": " << result.violation->oracle << ": " << result.violation->text;
    return result.megabytes_per_second;
  }
  double Limit() const { return options_.disk.media_bytes_per_second * 2 / 1e6; }

  TableOptions options_;
  Resources resources_;
};

TEST_F(TableTest, SendfileOnTheLoopFallsWithTheNumberOfConnections) {
  const double one = Rate(BackendKind::kLinuxSendfile, 1);
  const double ten = Rate(BackendKind::kLinuxSendfile, 10);
  EXPECT_LT(ten, 0.6 * one);
  EXPECT_LT(one, 0.7 * Limit());
}

TEST_F(TableTest, AsynchronousReadsBeatSendfileForOneConnectionAsPublished) {
  EXPECT_GT(Rate(BackendKind::kLinuxAioSendfile, 1), 1.4 * Rate(BackendKind::kLinuxSendfile, 1));
}

TEST_F(TableTest, AsynchronousReadsOfOneConnectionComeCloseToThePublishedRates) {
  for (const char* chunk : {"512K", "1M"}) {
    const double published = PublishedRate({BackendKind::kLinuxAioSendfile, chunk, 1}).value();
    EXPECT_NEAR(Rate(BackendKind::kLinuxAioSendfile, 1, chunk), published, 0.15 * published);
  }
}

TEST_F(TableTest, TenConnectionsKeepWhatThePublishedBackendLost) {
  for (const char* chunk : {"512K", "1M"}) {
    const double published = PublishedRate({BackendKind::kLinuxAioSendfile, chunk, 10}).value();
    const double rate = Rate(BackendKind::kLinuxAioSendfile, 10, chunk);
    EXPECT_GT(rate, 2 * published) << chunk;
    EXPECT_GT(rate, 0.6 * Limit()) << chunk;
  }
}

TEST_F(TableTest, ManyStreamsLeaveASpindleToEach) {
  for (const unsigned connections : {2, 5, 10}) {
    EXPECT_GT(Rate(BackendKind::kLinuxAioSendfile, connections), 0.87 * Limit()) << connections;
  }
  EXPECT_GT(Rate(BackendKind::kLinuxAioSendfile, 50), 0.8 * Limit());
}

TEST_F(TableTest, WhatReadsDirectlyReadsAlikeHoweverItSends) {
  EXPECT_NEAR(Rate(BackendKind::kLinuxAioSendfile, 5), Rate(BackendKind::kLinuxAioWrite, 5), 1.0);
}

TEST_F(TableTest, EveryBackendStaysBelowTheDisk) {
  for (const BackendKind backend :
       {BackendKind::kWritev, BackendKind::kLinuxSendfile, BackendKind::kLinuxAioSendfile,
        BackendKind::kLinuxAioWrite, BackendKind::kThreadsSendfile, BackendKind::kAuto}) {
    const double rate = Rate(backend, 2);
    EXPECT_GT(rate, 10) << ToString(backend);
    EXPECT_LT(rate, Limit()) << ToString(backend);
  }
}

TEST_F(TableTest, IsTheSameEachTime) {
  const TableCell cell{BackendKind::kAuto, "1M", 5};
  const TableResult once = RunTableCell(cell, options_, resources_);
  const TableResult again = RunTableCell(cell, options_, resources_);
  EXPECT_EQ(once.megabytes_per_second, again.megabytes_per_second);
  EXPECT_EQ(once.steps, again.steps);
}

}  // namespace
}  // namespace pollux::sim

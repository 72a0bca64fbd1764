// Contract: sockets, and what poll and epoll say about descriptors.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <string>

#include "tests/sys/kernel_world.h"

namespace pollux {
namespace {

class SocketContractTest : public ContractTest {
 protected:
  // Sends until the socket takes no more; what it took.
  size_t FillSocket(int fd) {
    const std::string block(64 * 1024, 'x');
    size_t taken = 0;
    for (;;) {
      Result<size_t> sent = kernel_.send(fd, block.data(), block.size(), MSG_NOSIGNAL);
      if (!sent) {
        EXPECT_EQ(sent.error().code, EAGAIN);
        return taken;
      }
      taken += *sent;
    }
  }
};

TEST_P(SocketContractTest, AcceptWithNobodyWaitingIsEagain) {
  InWorld([&] {
    Fd listener(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value());
    ASSERT_TRUE(kernel_.listen(listener.get(), 1));
    EXPECT_EQ(kernel_.accept4(listener.get(), nullptr, nullptr, 0).error().code, EAGAIN);
  });
}

TEST_P(SocketContractTest, AcceptOfWhatDoesNotListenIsEinval) {
  InWorld([&] {
    Fd socket(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value());
    EXPECT_EQ(kernel_.accept4(socket.get(), nullptr, nullptr, 0).error().code, EINVAL);
  });
}

TEST_P(SocketContractTest, RecvIsEagainThenBytesThenZeroAtTheEnd) {
  InWorld([&] {
    Connection connection = Connect();
    char buffer[16];
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, sizeof buffer, 0).error().code, EAGAIN);
    connection.peer->Send("hello");
    EXPECT_EQ(Await(connection.fd.get(), POLLIN), POLLIN);
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, 3, 0).value(), 3u);
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer + 3, 13, 0).value(), 2u);
    EXPECT_EQ(std::string(buffer, 5), "hello");
    connection.peer->HalfClose();
    EXPECT_EQ(Await(connection.fd.get(), POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, sizeof buffer, 0).value(), 0u);
  });
}

TEST_P(SocketContractTest, HalfClosedPeerStillReceives) {
  InWorld([&] {
    Connection connection = Connect();
    connection.peer->HalfClose();
    EXPECT_EQ(Await(connection.fd.get(), POLLRDHUP), POLLRDHUP);
    EXPECT_EQ(kernel_.send(connection.fd.get(), "answer", 6, MSG_NOSIGNAL).value(), 6u);
    EXPECT_EQ(connection.peer->Receive(6), "answer");
  });
}

TEST_P(SocketContractTest, ShutdownOfTheSendingSideEndsThePeersStream) {
  InWorld([&] {
    Connection connection = Connect();
    ASSERT_TRUE(kernel_.send(connection.fd.get(), "bye", 3, MSG_NOSIGNAL));
    ASSERT_TRUE(kernel_.shutdown(connection.fd.get(), SHUT_WR));
    EXPECT_EQ(connection.peer->Receive(100), "bye");
    EXPECT_EQ(kernel_.send(connection.fd.get(), "more", 4, MSG_NOSIGNAL).error().code, EPIPE);
  });
}

TEST_P(SocketContractTest, ResetIsEconnresetOnceAndThenEpipe) {
  InWorld([&] {
    Connection connection = Connect();
    connection.peer->Reset();
    EXPECT_TRUE(Await(connection.fd.get(), POLLIN) & POLLERR);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, sizeof buffer, 0).error().code, ECONNRESET);
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, sizeof buffer, 0).value(), 0u);
    EXPECT_EQ(kernel_.send(connection.fd.get(), "x", 1, MSG_NOSIGNAL).error().code, EPIPE);
  });
}

TEST_P(SocketContractTest, FullSocketIsNotWritableUntilThePeerReads) {
  InWorld([&] {
    Connection connection = Connect();
    const size_t taken = FillSocket(connection.fd.get());
    EXPECT_GT(taken, 0u);
    pollfd entry{connection.fd.get(), POLLOUT, 0};
    EXPECT_EQ(kernel_.poll(&entry, 1, 0).value(), 0);
    EXPECT_EQ(connection.peer->Receive(taken).size(), taken);
    EXPECT_EQ(Await(connection.fd.get(), POLLOUT), POLLOUT);
  });
}

TEST_P(SocketContractTest, WritevGathersInOrder) {
  InWorld([&] {
    Connection connection = Connect();
    std::string head = "head ", body = "body";
    const iovec parts[] = {{head.data(), head.size()}, {body.data(), body.size()}};
    EXPECT_EQ(kernel_.writev(connection.fd.get(), parts, 2).value(), 9u);
    EXPECT_EQ(connection.peer->Receive(9), "head body");
  });
}

TEST_P(SocketContractTest, OutqCountsWhatThePeerHasNotAcknowledged) {
  InWorld([&] {
    Connection connection = Connect();
    EXPECT_EQ(kernel_.ioctl_outq(connection.fd.get()).value(), 0);
    FillSocket(connection.fd.get());
    EXPECT_GT(kernel_.ioctl_outq(connection.fd.get()).value(), 0);
  });
}

TEST_P(SocketContractTest, BytesSentBeforeTheEndAreReadBeforeIt) {
  InWorld([&] {
    Connection connection = Connect();
    connection.peer->Send("last");
    connection.peer->HalfClose();
    EXPECT_TRUE(Await(connection.fd.get(), POLLRDHUP) & POLLRDHUP);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, sizeof buffer, 0).value(), 4u);
    EXPECT_EQ(kernel_.recv(connection.fd.get(), buffer, sizeof buffer, 0).value(), 0u);
  });
}

// What came before the end is read before it; what is sent then finds nobody, and the first to be
// told so is the next one who sends.
TEST_P(SocketContractTest, FirstSendToAPeerThatIsGoneIsTakenAndTheNextIsEpipe) {
  InWorld([&] {
    Connection connection = Connect();
    const int fd = connection.fd.get();
    connection.peer->Send("last");
    connection.peer->Close();
    EXPECT_EQ(Await(fd, POLLRDHUP | POLLOUT), POLLRDHUP | POLLOUT);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).value(), 1u);
    EXPECT_EQ(Await(fd, POLLHUP) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).error().code, EPIPE);
    EXPECT_EQ(Await(fd, POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 4u);
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 0u);
  });
}

TEST_P(SocketContractTest, EndOfAStreamIsReadAsOneWhateverComesAfterIt) {
  InWorld([&] {
    Connection connection = Connect();
    const int fd = connection.fd.get();
    connection.peer->Close();
    EXPECT_EQ(Await(fd, POLLRDHUP), POLLRDHUP);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).value(), 1u);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 0u);
    EXPECT_TRUE(Await(fd, POLLIN) & POLLERR);  // it is the sender's
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).error().code, EPIPE);
  });
}

TEST_P(SocketContractTest, PeerThatLeavesWithUnreadBytesResets) {
  InWorld([&] {
    Connection connection = Connect();
    const int fd = connection.fd.get();
    connection.peer->Send("last");
    EXPECT_EQ(kernel_.send(fd, "never taken", 11, MSG_NOSIGNAL).value(), 11u);
    connection.peer->Close();
    EXPECT_EQ(Await(fd, POLLERR), POLLERR | POLLHUP);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 4u);
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).error().code, ECONNRESET);
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 0u);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).error().code, EPIPE);
  });
}

TEST_P(SocketContractTest, SendAfterAResetIsEconnresetOnceAndThenEpipe) {
  InWorld([&] {
    Connection connection = Connect();
    const int fd = connection.fd.get();
    FillSocket(fd);
    connection.peer->Close();
    EXPECT_EQ(Await(fd, POLLERR), POLLERR | POLLHUP);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).error().code, ECONNRESET);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).error().code, EPIPE);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 0u);
  });
}

TEST_P(SocketContractTest, ResetAfterTheEndOfAStreamIsEpipe) {
  InWorld([&] {
    Connection connection = Connect();
    const int fd = connection.fd.get();
    connection.peer->HalfClose();
    EXPECT_EQ(Await(fd, POLLRDHUP), POLLRDHUP);
    EXPECT_EQ(kernel_.send(fd, "never taken", 11, MSG_NOSIGNAL).value(), 11u);
    connection.peer->Close();
    EXPECT_EQ(Await(fd, POLLERR), POLLERR | POLLHUP);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).value(), 0u);
    EXPECT_EQ(kernel_.send(fd, "x", 1, MSG_NOSIGNAL).error().code, EPIPE);
  });
}

TEST_P(SocketContractTest, PeerThatLeavesHalfAConnectionWithUnreadBytesResets) {
  InWorld([&] {
    Connection connection = Connect();
    const int fd = connection.fd.get();
    EXPECT_EQ(kernel_.send(fd, "never taken", 11, MSG_NOSIGNAL).value(), 11u);
    ASSERT_TRUE(kernel_.shutdown(fd, SHUT_WR));
    connection.peer->Close();
    EXPECT_EQ(Await(fd, POLLERR), POLLERR | POLLHUP);
    char buffer[16];
    EXPECT_EQ(kernel_.recv(fd, buffer, sizeof buffer, 0).error().code, ECONNRESET);
  });
}

// Why the server lingers: the answer that was sent is lost with the request that was not read.
TEST_P(SocketContractTest, CloseWithUnreadInputIsAReset) {
  InWorld([&] {
    Connection connection = Connect();
    connection.peer->Send("never read");
    EXPECT_EQ(Await(connection.fd.get(), POLLIN), POLLIN);
    connection.fd.Reset();
    EXPECT_EQ(connection.peer->Receive(1), "");
  });
}

TEST_P(SocketContractTest, CloseDeliversWhatWasSentAndThenTheEnd) {
  InWorld([&] {
    Connection connection = Connect();
    ASSERT_EQ(kernel_.send(connection.fd.get(), "answer", 6, MSG_NOSIGNAL).value(), 6u);
    connection.fd.Reset();
    EXPECT_EQ(connection.peer->Receive(100), "answer");
  });
}

TEST_P(SocketContractTest, BothDirectionsShutIsAHangUp) {
  InWorld([&] {
    Connection connection = Connect();
    connection.peer->HalfClose();
    EXPECT_EQ(Await(connection.fd.get(), POLLRDHUP), POLLRDHUP);
    ASSERT_TRUE(kernel_.shutdown(connection.fd.get(), SHUT_WR));
    EXPECT_TRUE(Await(connection.fd.get(), 0) & POLLHUP);
  });
}

TEST_P(SocketContractTest, PortInUseIsEaddrinuse) {
  InWorld([&] {
    sockaddr_in wanted{};
    wanted.sin_family = AF_INET;
    wanted.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Fd first(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0).value());
    ASSERT_TRUE(kernel_.bind(first.get(), reinterpret_cast<sockaddr*>(&wanted), sizeof wanted));
    ASSERT_TRUE(kernel_.listen(first.get(), 1));
    socklen_t length = sizeof wanted;
    ASSERT_TRUE(kernel_.getsockname(first.get(), reinterpret_cast<sockaddr*>(&wanted), &length));
    EXPECT_NE(wanted.sin_port, 0);
    Fd second(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0).value());
    EXPECT_EQ(kernel_.bind(second.get(), reinterpret_cast<sockaddr*>(&wanted), sizeof wanted)
                  .error()
                  .code,
              EADDRINUSE);
  });
}

// --- eventfd(2)

TEST_P(SocketContractTest, EventfdAddsUpAndIsEmptiedByOneRead) {
  InWorld([&] {
    Fd counter(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    uint64_t value = 2;
    ASSERT_EQ(kernel_.write(counter.get(), &value, sizeof value).value(), sizeof value);
    value = 3;
    ASSERT_EQ(kernel_.write(counter.get(), &value, sizeof value).value(), sizeof value);
    ASSERT_EQ(kernel_.read(counter.get(), &value, sizeof value).value(), sizeof value);
    EXPECT_EQ(value, 5u);
    EXPECT_EQ(kernel_.read(counter.get(), &value, sizeof value).error().code, EAGAIN);
  });
}

TEST_P(SocketContractTest, EventfdReadOfFewerThanEightBytesIsEinval) {
  InWorld([&] {
    Fd counter(kernel_, kernel_.eventfd(1, EFD_NONBLOCK).value());
    uint32_t half = 0;
    EXPECT_EQ(kernel_.read(counter.get(), &half, sizeof half).error().code, EINVAL);
  });
}

TEST_P(SocketContractTest, EventfdThatWouldOverflowIsEagain) {
  InWorld([&] {
    Fd counter(kernel_, kernel_.eventfd(1, EFD_NONBLOCK).value());
    const uint64_t most = UINT64_MAX - 1;
    EXPECT_EQ(kernel_.write(counter.get(), &most, sizeof most).error().code, EAGAIN);
  });
}

// --- poll(2) and epoll(7)

TEST_P(SocketContractTest, PollSaysClosedDescriptorsAreInvalidAndIgnoresNegativeOnes) {
  InWorld([&] {
    const int closed = kernel_.eventfd(0, 0).value();
    ASSERT_TRUE(kernel_.close(closed));
    pollfd entries[] = {{closed, POLLIN, 0}, {-1, POLLIN, 7}};
    EXPECT_EQ(kernel_.poll(entries, 2, 0).value(), 1);
    EXPECT_EQ(entries[0].revents, POLLNVAL);
    EXPECT_EQ(entries[1].revents, 0);
  });
}

class EpollContractTest : public ContractTest {
 protected:
  EpollContractTest()
      : epoll_(kernel_, kernel_.epoll_create1(EPOLL_CLOEXEC).value()),
        counter_(kernel_, kernel_.eventfd(1, EFD_NONBLOCK).value()) {}

  Status Control(int operation, int fd, uint32_t events = EPOLLIN, uint64_t data = 0) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = data;
    return kernel_.epoll_ctl(epoll_.get(), operation, fd, &event);
  }
  int Ready() { return kernel_.epoll_pwait(epoll_.get(), events_, 8, 0, nullptr).value(); }

  Fd epoll_;
  Fd counter_;
  epoll_event events_[8]{};
};

TEST_P(EpollContractTest, LevelIsReportedUntilItIsConsumed) {
  InWorld([&] {
    ASSERT_TRUE(Control(EPOLL_CTL_ADD, counter_.get(), EPOLLIN, 77));
    EXPECT_EQ(Ready(), 1);
    EXPECT_EQ(Ready(), 1);
    EXPECT_EQ(events_[0].events, EPOLLIN);
    EXPECT_EQ(events_[0].data.u64, 77u);
    uint64_t value = 0;
    ASSERT_TRUE(kernel_.read(counter_.get(), &value, sizeof value));
    EXPECT_EQ(Ready(), 0);
  });
}

TEST_P(EpollContractTest, InterestCanBeTakenAwayAndGivenBack) {
  InWorld([&] {
    ASSERT_TRUE(Control(EPOLL_CTL_ADD, counter_.get()));
    ASSERT_TRUE(Control(EPOLL_CTL_MOD, counter_.get(), 0));
    EXPECT_EQ(Ready(), 0);
    ASSERT_TRUE(Control(EPOLL_CTL_MOD, counter_.get(), EPOLLIN));
    EXPECT_EQ(Ready(), 1);
    ASSERT_TRUE(Control(EPOLL_CTL_DEL, counter_.get()));
    EXPECT_EQ(Ready(), 0);
  });
}

TEST_P(EpollContractTest, ClosedDescriptorLeavesTheSetByItself) {
  InWorld([&] {
    ASSERT_TRUE(Control(EPOLL_CTL_ADD, counter_.get()));
    const int number = counter_.get();
    counter_.Reset();
    EXPECT_EQ(Ready(), 0);
    EXPECT_EQ(Control(EPOLL_CTL_DEL, number).error().code, EBADF);
  });
}

TEST_P(EpollContractTest, WrongUseOfTheSetHasAnErrnoEach) {
  InWorld([&] {
    EXPECT_EQ(Control(EPOLL_CTL_MOD, counter_.get()).error().code, ENOENT);
    EXPECT_EQ(Control(EPOLL_CTL_DEL, counter_.get()).error().code, ENOENT);
    ASSERT_TRUE(Control(EPOLL_CTL_ADD, counter_.get()));
    EXPECT_EQ(Control(EPOLL_CTL_ADD, counter_.get()).error().code, EEXIST);
    EXPECT_EQ(Control(EPOLL_CTL_ADD, epoll_.get()).error().code, EINVAL);
    // epoll_ctl(2): EPERM, "the target file does not support epoll": why files need AIO at all.
    const std::string path = world_->MakeFile(1);
    Fd file(kernel_, kernel_.openat(AT_FDCWD, path.c_str(), 0, 0).value());
    EXPECT_EQ(Control(EPOLL_CTL_ADD, file.get()).error().code, EPERM);
  });
}

TEST_P(EpollContractTest, MoreReadyThanAskedForAreReportedInTurn) {
  InWorld([&] {
    Fd other(kernel_, kernel_.eventfd(1, EFD_NONBLOCK).value());
    ASSERT_TRUE(Control(EPOLL_CTL_ADD, counter_.get(), EPOLLIN, 1));
    ASSERT_TRUE(Control(EPOLL_CTL_ADD, other.get(), EPOLLIN, 2));
    uint64_t seen = 0;
    for (int turn = 0; turn < 2; ++turn) {
      ASSERT_EQ(kernel_.epoll_pwait(epoll_.get(), events_, 1, 0, nullptr).value(), 1);
      seen |= events_[0].data.u64;
    }
    EXPECT_EQ(seen, 3u);
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, SocketContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);
INSTANTIATE_TEST_SUITE_P(Contract, EpollContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);

}  // namespace
}  // namespace pollux

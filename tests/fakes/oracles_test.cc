// The judges that the simulated kernel itself keeps: each sees what it is for, and no more.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>

#include "core/sys/raii.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {
namespace {

constexpr size_t kPage = kPageBytes;

// One page in memory, mapped, and a socket whose queue refers to it.
class PageReferencesTest : public ::testing::Test {
 protected:
  // What `then` does after the page was sent, and the peer's taking it, come to.
  std::string OracleAfter(const std::function<void()>& then) {
    kernel_.AddFile("/file", std::make_shared<std::string>(kPage, 'b'));
    EXPECT_TRUE(kernel_.Run([&] {
      Fd listener(kernel_, kernel_.socket(AF_INET, SOCK_STREAM, 0).value());
      EXPECT_TRUE(kernel_.listen(listener.get(), 1));
      kernel_.scheduler().BeforeWorldStep("peer connects");
      const auto connection = kernel_.ConnectToListener();
      Fd socket(kernel_, kernel_.accept4(listener.get(), nullptr, nullptr, 0).value());
      memory_ = Fd(kernel_, kernel_.memfd_create("page", 0).value());
      EXPECT_TRUE(kernel_.ftruncate(memory_.get(), kPage));
      void* address =
          kernel_.mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0)
              .value();
      Mapping mapping(kernel_, address, kPage);
      page_ = static_cast<char*>(address);
      std::memset(page_, 'a', kPage);
      off_t offset = 0;
      EXPECT_EQ(kernel_.sendfile(socket.get(), memory_.get(), &offset, kPage).value(), kPage);
      then();
      kernel_.scheduler().BeforeWorldStep("peer takes");
      received_ = connection->PeerTake(kPage);
      memory_.Reset();
    }));
    return kernel_.scheduler().violation() ? kernel_.scheduler().violation()->oracle : "";
  }
  void Punch() {
    EXPECT_TRUE(kernel_.fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                  static_cast<off_t>(kPage)));
  }
  // A direct read of /file into the page, to its end.
  void Read() {
    Fd file(kernel_, kernel_.openat(AT_FDCWD, "/file", O_RDONLY | O_DIRECT, 0).value());
    const io_context_t context = kernel_.io_setup(1).value();
    iocb request{};
    io_prep_pread(&request, file.get(), page_, kPage, 0);
    iocb* one = &request;
    EXPECT_EQ(kernel_.io_submit(context, 1, &one).value(), 1);
    io_event event{};
    EXPECT_EQ(kernel_.io_getevents(context, 1, 1, &event, nullptr).value(), 1);
    EXPECT_EQ(event.res, kPage);
    EXPECT_TRUE(kernel_.io_destroy(context));
  }

  FirstChooser chooser_;
  Resources resources_;
  SimKernel kernel_{chooser_, resources_, {}};
  Fd memory_;
  char* page_ = nullptr;
  std::string received_;
};

TEST_F(PageReferencesTest, PageThatNobodyTouchesIsNoViolation) {
  EXPECT_EQ(OracleAfter([] {}), "");
  EXPECT_EQ(received_, std::string(kPage, 'a'));
}

TEST_F(PageReferencesTest, PlainStoreIntoAPageThatASocketRefersToIsReported) {
  EXPECT_EQ(OracleAfter([this] { page_[17] = 'x'; }), "page references");
  EXPECT_EQ(received_[17], 'x');
}

// By who reads, not by the bytes: these are put back before the peer takes them.
TEST_F(PageReferencesTest, ReadIntoAPageThatASocketRefersToIsReported) {
  EXPECT_EQ(OracleAfter([this] {
              Read();
              std::memset(page_, 'a', kPage);
            }),
            "page references");
}

TEST_F(PageReferencesTest, PageThatWasPunchedOutMayBeReadInto) {
  EXPECT_EQ(OracleAfter([this] {
              Punch();
              Read();
            }),
            "");
  EXPECT_EQ(received_, std::string(kPage, 'a'));
}

class LeaksTest : public ::testing::Test {
 protected:
  std::string LeftBy(const std::function<void(Kernel&)>& body) {
    EXPECT_TRUE(kernel_.Run([&] { body(kernel_); }));
    return kernel_.Leaks();
  }

  FirstChooser chooser_;
  Resources resources_;
  SimKernel kernel_{chooser_, resources_, {}};
};

TEST_F(LeaksTest, NothingIsLeft) {
  EXPECT_EQ(LeftBy([](Kernel& kernel) { EXPECT_TRUE(kernel.close(kernel.eventfd(0, 0).value())); }),
            "");
}

TEST_F(LeaksTest, Descriptor) {
  EXPECT_EQ(LeftBy([](Kernel& kernel) { (void)kernel.eventfd(0, 0); }), "descriptor 3");
}

TEST_F(LeaksTest, AioContextAndMapping) {
  EXPECT_EQ(LeftBy([](Kernel& kernel) {
              (void)kernel.io_setup(1);
              (void)kernel.mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            }),
            "an AIO context, 1 mappings");
}

}  // namespace
}  // namespace pollux::sim

// One client's connection: a state, and one function that changes it.
//
//   kReadingHead -> kSkippingBody -> kOpening -> kSendingHead -> kSendingBody -> kReadingHead ...
//                                                                       \-> kLingering -> kClosed
//
// Everything that could call back late is a member that ends with the connection (registration,
// timer, place in the send queue, transfer); FileOpener's answer is held off by a weak pointer.
// Threads: loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/aio/backend.h"
#include "core/aio/open_file.h"
#include "core/event/event_loop.h"
#include "core/http/body.h"
#include "core/server/access_log.h"
#include "core/server/address.h"
#include "core/server/config.h"
#include "core/server/error_advice.h"
#include "core/server/file_cache.h"
#include "core/server/head_reader.h"
#include "core/server/metrics.h"
#include "core/server/send_queue.h"
#include "core/server/static_file.h"
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

// A file of at most this is sent where its request was read; more waits for a turn of the queue.
inline constexpr uint64_t kInlineBodyBytes = 64_KiB;
// Pipelined requests answered in one go before others get their turn.
inline constexpr int kRequestsPerTurn = 32;
// Answers in memory that wait for others to the same client before they are sent, all at once.
inline constexpr size_t kOutputBytes = 64_KiB;
// Input taken from one client before others get their turn.
inline constexpr int kReceivesPerTurn = 16;
// A request's content up to this is read and dropped before the answer. More, or content that
// waits for "100 Continue", is not read: the answer ends the connection (RFC 9112 §9.3).
inline constexpr uint64_t kSkippedBodyBytesMax = 1_MiB;
// After the last answer: how long and how much is read from a client that goes on sending, so that
// a reset does not take the answer from it (RFC 9112 §9.6).
inline constexpr std::chrono::seconds kLingerTime{5};
inline constexpr std::chrono::seconds kDrainLingerTime{1};  // once the server is to stop
inline constexpr uint64_t kLingerBytesMax = 16_MiB;
// Read and dropped with one recv.
inline constexpr size_t kScratchBytes = 64 * 1024;

class Connection;

class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // Once per connection, at its end. It must not be destroyed before this returned to the loop.
  virtual void OnConnectionClosed(Connection& connection) = 0;
};

// What the connections of one server share; outlives them.
struct ConnectionContext {
  Kernel& kernel;
  EventLoop& loop;
  Logger& log;
  const Config& config;
  FileOpener& opener;
  Backend& backend;
  const StaticFiles& files;
  FileCache& cache;
  SendQueue& send_queue;
  HeadReaderPool& readers;
  AccessLog& access_log;
  ServerCounters& counters;
  ConnectionOwner& owner;
  std::function<std::string()> render_metrics;

  bool draining = false;  // answers end their connections
  size_t sending = 0;     // connections in kSendingBody
  std::vector<char> scratch = std::vector<char>(kScratchBytes);

  RepeatedErrors open_errors = {};

  // Answers of the connection that is being driven, in their order; empty between two of them.
  std::string output = "";
  std::string path = "";  // to compose one in, without allocating

  // The Date value of `date_seconds`, good until `date_ends`: the clock is read once a second.
  int64_t date_seconds = -1;
  TimePoint date_ends{};
  std::string date = "";
};

class Connection final : public std::enable_shared_from_this<Connection>,
                         public FdeventCallback,
                         public TransferWaiter,
                         public SendQueue::Entry {
 public:
  enum class State {
    kReadingHead,   // no request in hand: waits for bytes, or parses them
    kSkippingBody,  // the request's content is read and dropped, up to the next request
    kOpening,       // FileOpener has the path
    kSendingHead,   // the head, and what of the body is in memory
    kSendingBody,   // a transfer runs, or the next piece of the body is made (then kSendingHead)
    kLingering,     // answered for the last time; what still comes is read and dropped
    kClosed,
  };

  Connection(ConnectionContext& context, Fd socket, const SocketAddress& peer, size_t slot);
  ~Connection() override;

  // Joins the poll set. On an error the connection was never there; destroy it.
  Status Start();

  State state() const { return state_; }
  size_t slot() const { return slot_; }
  // Between requests, with no byte of the next one.
  bool idle() const { return state_ == State::kReadingHead && !head_started_; }

  // The server is to stop: ends it if nothing is under way, or in its queue.
  void OnDrain();
  // Ends it without another byte; what the socket has accepted is still delivered.
  void Close();

  void OnFdevent(uint32_t revents) override;
  void OnTransferReady() override;
  uint64_t RunSlice(uint64_t bytes_max) override;

 private:
  enum class BodyWait { kTurn, kSocket, kFile };  // what a running transfer waits for

  static bool Allowed(State from, State to);
  void Enter(State next);
  void Drive(uint64_t body_bytes_max);
  // Each does one step and says whether another one can follow at once.
  bool Step();
  bool ReadHead();
  bool SkipBody();
  bool SendHead();
  bool GatherOutput();
  bool SendOutput();
  bool AnotherRequestIsHere() const;
  bool SendBody();
  bool WaitForTurn();
  bool NextPiece();
  bool Linger();

  // More input into reader_: false at EAGAIN, at the end of the input and on errors.
  bool ReceiveInput();
  bool ParseInput();

  void StartRequest(const http::Request& request);
  void AnswerRequest();
  void Refuse(int status, const char* reason);
  void OpenNext(OpenStep step);
  CachedFile* Remember(const OpenStep& step, TimePoint asked,
                       const Result<std::shared_ptr<OpenFile>>& opened);
  void OnOpened(const OpenStep& tried, TimePoint asked,
                const Result<std::shared_ptr<OpenFile>>& opened);
  void StartLateResponse();
  bool AnswerFromCache(const ResponseContext& context);
  void RespondWith(CachedFile& cached, std::string_view path, const ResponseContext& context);
  bool RespondPlainly(CachedFile& cached, std::string_view path, const ResponseContext& context);
  void Respond(Response response);
  void FinishResponse();
  void AccountResponse(bool complete);
  ResponseContext MakeResponseContext(const http::Request* request);

  void OnTimer();
  void OnSendTimer();
  void Arm(std::chrono::milliseconds time);
  void WatchSocket();
  void BoundUnsent();
  // To the error log, with what to do about it.
  void Complain(const Error& error, const std::string& about);
  // Requests can bring these about as fast as they come: a line a second of each errno.
  void ComplainOfOpen(const Error& error, const std::string& path);
  void Abort();
  void CloseWith(bool reset);
  int fd() const { return socket_->get(); }

  ConnectionContext& context_;
  std::shared_ptr<Fd> socket_;
  SocketAddress peer_;
  size_t slot_;
  State state_ = State::kReadingHead;
  bool driving_ = false;
  bool in_slice_ = false;
  bool readable_ = false;      // the last recv did not find the end
  bool unparsed_ = false;      // bytes that the parser has not seen
  bool head_started_ = false;  // a byte of the request came
  bool keep_alive_ = true;
  bool responding_ = false;  // a response has begun and was not accounted for
  BodyWait body_wait_ = BodyWait::kTurn;
  int requests_this_turn_ = 0;
  int receives_this_turn_ = 0;
  uint64_t body_budget_ = 0;     // bytes of files that this Drive may still send
  uint64_t sent_ = 0;            // bytes in all, gathered ones included; never less
  uint64_t response_began_ = 0;  // sent_ when the response began
  uint64_t linger_left_ = 0;     // bytes that lingering still accepts
  uint64_t unsent_share_;        // TCP_NOTSENT_LOWAT of the socket
  int outq_ = 0;                 // SIOCOUTQ when the send timer was armed

  std::unique_ptr<HeadReader> reader_;
  const http::Request* request_ = nullptr;  // in reader_; null if it was not understood
  std::optional<http::BodySkipper> body_;   // of request_'s content
  Response response_;
  std::string backlog_;   // of context_.output, what the socket did not take; counted in sent_
  size_t head_sent_ = 0;  // of response_.bytes, whatever piece they are
  std::unique_ptr<Transfer> transfer_;
  uint64_t body_sent_ = 0;  // by transfer_

  Timer timer_;
  Registration registration_;  // last: leaves the poll set before the socket is closed
};

}  // namespace pollux

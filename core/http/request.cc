#include "core/http/request.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/verb.hpp>

#include "core/base/check.h"
#include "core/http/framing.h"
#include "core/http/head_scanner.h"
#include "core/http/target.h"

namespace pollux::http {
namespace {

namespace beast = boost::beast;

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

Method MethodOf(beast::http::verb verb) {
  switch (verb) {
    case beast::http::verb::get:
      return Method::kGet;
    case beast::http::verb::head:
      return Method::kHead;
    case beast::http::verb::options:
      return Method::kOptions;
    case beast::http::verb::unknown:
      return Method::kUnknown;
    default:
      return Method::kOtherKnown;
  }
}

Method MethodOf(std::string_view name) {
  return MethodOf(beast::http::string_to_verb({name.data(), name.size()}));
}

// A field that arrives in several lines means the same as one with their values joined (RFC 9110
// §5.3). For lists that is what was meant; a date or a Range becomes invalid by it, and is ignored.
void Join(std::optional<std::string>& field, std::string_view value) {
  if (field) {
    field->append(", ").append(value);
  } else {
    field.emplace(value);
  }
}

// Empties a request but keeps its strings' memory.
void Clear(Request& request) {
  request.method = Method::kUnknown;
  request.method_name.clear();
  request.version.clear();
  request.version_minor = 1;
  request.target.clear();
  request.path.clear();
  request.query.clear();
  request.keep_alive = true;
  request.chunked = false;
  request.content_length.reset();
  request.expect_continue = false;
  request.range.reset();
  request.if_range.reset();
  request.if_match.reset();
  request.if_none_match.reset();
  request.if_modified_since.reset();
  request.if_unmodified_since.reset();
  request.accept.clear();
  request.host.clear();
  request.referer.clear();
  request.user_agent.clear();
}

// Beast's parser over one whole head that the scanner has passed. What Beast accepts and Pollux
// does not is refused in the callbacks, or by Framing once all fields are known.
class HeadParser final : public beast::http::basic_parser<true> {
 public:
  // `target` only lends its memory.
  HeadParser(Request& request, Target& target) : request_(request), target_(target) {
    header_limit(static_cast<std::uint32_t>(-1));  // the scanner has limited it
    body_limit(boost::none);                       // BodySkipper does
  }

  std::optional<Refusal> ParseHead(std::string_view head) {
    beast::error_code error;
    const size_t used = put(boost::asio::const_buffer(head.data(), head.size()), error);
    if (refusal_) return refusal_;
    // Both saw the same end of the head, or one of them is being fooled.
    if (error || used != head.size() || !is_header_done()) return Refusal{400, reason_};
    if (const auto refusal = framing_.Finish(request_)) return refusal;
    // What follows a CONNECT might be meant for the tunnel that there will not be.
    if (request_.method_name == "CONNECT") request_.keep_alive = false;
    if (absolute_) request_.host = target_.host;  // over any Host (RFC 9112 §3.2.2)
    return std::nullopt;
  }

 private:
  void on_request_impl(beast::http::verb verb, beast::string_view method, beast::string_view target,
                       int version, beast::error_code& error) override {
    reason_ = "bad header field";
    request_.method = MethodOf(verb);
    request_.method_name = View(method);
    request_.target = View(target);
    request_.version_minor = version % 10;
    if (const auto refusal = TakeTarget(verb, View(target))) Refuse(*refusal, error);
  }

  std::optional<Refusal> TakeTarget(beast::http::verb verb, std::string_view text) {
    if (text == "*" && verb == beast::http::verb::options) {
      request_.path.assign(1, '*');  // = "*" warns in gcc 12 (PR 105651)
      return std::nullopt;
    }
    // Its target is an authority, and it is answered 405 whatever that is.
    if (verb == beast::http::verb::connect) return std::nullopt;
    if (!ParseTarget(text, target_)) return Refusal{400, "bad request target"};
    request_.path.swap(target_.path);
    request_.query.swap(target_.query);
    absolute_ = !target_.host.empty();
    return std::nullopt;
  }

  void on_field_impl(beast::http::field name, beast::string_view, beast::string_view text,
                     beast::error_code&) override {
    using beast::http::field;
    const std::string_view value = View(text);
    switch (name) {
      case field::host:
        framing_.AddHost(value);
        request_.host = value;
        break;
      case field::connection:
        framing_.AddConnection(value);
        break;
      case field::content_length:
        framing_.AddContentLength(value);
        break;
      case field::transfer_encoding:
        framing_.AddTransferEncoding(value);
        break;
      case field::expect:
        framing_.AddExpect(value);
        break;
      case field::range:
        Join(request_.range, value);
        break;
      case field::if_range:
        Join(request_.if_range, value);
        break;
      case field::if_match:
        Join(request_.if_match, value);
        break;
      case field::if_none_match:
        Join(request_.if_none_match, value);
        break;
      case field::if_modified_since:
        Join(request_.if_modified_since, value);
        break;
      case field::if_unmodified_since:
        Join(request_.if_unmodified_since, value);
        break;
      case field::accept:
        if (!request_.accept.empty()) request_.accept += ", ";
        request_.accept += value;
        break;
      case field::referer:
        request_.referer = value;
        break;
      case field::user_agent:
        request_.user_agent = value;
        break;
      default:
        break;
    }
  }

  void Refuse(const Refusal& refusal, beast::error_code& error) {
    refusal_ = refusal;
    error = beast::http::error::bad_value;  // any error ends the parse
  }

  // Bodies never reach this parser.
  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
  void on_header_impl(beast::error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, beast::error_code&) override {}
  std::size_t on_body_impl(beast::string_view, beast::error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, beast::error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, beast::error_code&) override {
    return 0;
  }
  void on_finish_impl(beast::error_code&) override {}

  Request& request_;
  Target& target_;
  bool absolute_ = false;
  Framing framing_;
  std::optional<Refusal> refusal_;
  const char* reason_ = "bad request line";
};

}  // namespace

class RequestParser::Impl {
 public:
  explicit Impl(const Limits& limits) : scanner_(limits) {}

  Outcome Parse(std::string_view bytes) {
    if (outcome_.state != State::kNeedMore) return outcome_;
    const size_t consumed = scanner_.Scan(bytes);
    if (scanner_.state() != HeadScanner::State::kNeedMore) request_.version = scanner_.version();
    if (scanner_.state() == HeadScanner::State::kBad) {
      request_.method_name = scanner_.method();
      request_.method = MethodOf(request_.method_name);
      request_.target = scanner_.target();
      Finish(Refusal{scanner_.status(), scanner_.reason()});
    } else if (scanner_.state() == HeadScanner::State::kComplete) {
      Finish(HeadParser(request_, target_).ParseHead(scanner_.head()));
    }
    Outcome outcome = outcome_;
    outcome.consumed = consumed;
    return outcome;
  }

  bool started() const { return !scanner_.head().empty(); }
  const Request& request() const { return request_; }

  void Reset() {
    scanner_.Reset();
    Clear(request_);
    outcome_ = {};
  }

 private:
  void Finish(const std::optional<Refusal>& refusal) {
    if (refusal) {
      outcome_ = {State::kBad, 0, refusal->status, refusal->reason};
      request_.keep_alive = false;
    } else {
      outcome_.state = State::kComplete;
    }
  }

  HeadScanner scanner_;
  Request request_;
  Target target_;    // its strings are reused
  Outcome outcome_;  // consumed stays 0: what a call after the end returns
};

RequestParser::RequestParser(const Limits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;
RequestParser::~RequestParser() = default;

RequestParser::Outcome RequestParser::Parse(std::string_view bytes) { return impl_->Parse(bytes); }
bool RequestParser::started() const { return impl_->started(); }
const Request& RequestParser::request() const { return impl_->request(); }
void RequestParser::Reset() { impl_->Reset(); }

}  // namespace pollux::http

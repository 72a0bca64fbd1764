#include "fakes/scenarios/conversation_script.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pollux::sim {
namespace {

constexpr char kMark = '\xff';
constexpr std::pair<char, Act::Kind> kEvents[] = {
    {'p', Act::Kind::kPause},     {'T', Act::Kind::kTerminate}, {'H', Act::Kind::kHangup},
    {'h', Act::Kind::kHalfClose}, {'q', Act::Kind::kClose},     {'r', Act::Kind::kReset},
};

Settings ParseSettings(unsigned char bits) {
  constexpr std::array<size_t, 4> kSocketBytes = {128 << 10, 1 << 10, 4 << 10, 16 << 10};
  Settings out;
  out.socket_bytes = kSocketBytes[bits & 3];
  out.small_chunks = (bits & 4) != 0;
  out.keeps_files = (bits & 8) == 0;
  out.poll = (bits & 16) != 0;
  out.names_cached = (bits & 32) == 0;
  out.small_limits = (bits & 64) != 0;
  out.listing = (bits & 128) != 0;
  return out;
}

// The script of one client from its bytes on.
class Reader {
 public:
  // Up to the mark of the next client, which is taken, too. Whether there is one.
  bool ReadClient(std::string_view& rest, ClientScript& client) {
    while (!rest.empty()) {
      const char c = rest.front();
      rest.remove_prefix(1);
      if (c != kMark) {
        bytes_.push_back(c);
        continue;
      }
      if (rest.empty()) break;
      const char letter = rest.front();
      rest.remove_prefix(1);
      if (letter == 'n') {
        Cut(client);
        return true;
      }
      Take(letter, client);
    }
    Cut(client);
    return false;
  }

  int troubles() const { return troubles_; }

 private:
  void Take(char letter, ClientScript& client) {
    switch (letter) {
      case kMark:
        bytes_.push_back(kMark);
        break;
      case 'c':
        Cut(client);
        break;
      case 'l':
        client.late = true;
        break;
      case 's':
        client.stays = true;
        break;
      case 'F':
        ++troubles_;
        break;
      default:
        for (const auto& [mark, kind] : kEvents) {
          if (mark == letter) Add(client, kind);
        }
    }
  }

  void Cut(ClientScript& client) {
    if (!bytes_.empty()) Push(client, {Act::Kind::kSend, std::exchange(bytes_, {})});
  }

  void Add(ClientScript& client, Act::Kind kind) {
    Cut(client);
    Push(client, {kind, {}});
  }

  // Nothing comes after the end.
  static void Push(ClientScript& client, Act act) {
    if (client.acts.size() >= kScriptActsMax) return;
    if (!client.acts.empty() && client.acts.back().kind >= Act::Kind::kHalfClose) return;
    client.acts.push_back(std::move(act));
  }

  std::string bytes_;
  int troubles_ = 0;
};

}  // namespace

std::string ClientScript::Sent() const {
  std::string all;
  for (const Act& act : acts) all += act.bytes;
  return all;
}

bool ClientScript::Has(Act::Kind kind) const {
  return std::any_of(acts.begin(), acts.end(), [&](const Act& act) { return act.kind == kind; });
}

bool Script::Has(Act::Kind kind) const {
  return std::any_of(clients.begin(), clients.end(),
                     [&](const ClientScript& client) { return client.Has(kind); });
}

Script ParseScript(std::string_view text) {
  Script script;
  if (!text.empty()) {
    script.settings = ParseSettings(static_cast<unsigned char>(text.front()));
    text.remove_prefix(1);
  }
  bool more = true;
  while (more && script.clients.size() < kScriptClientsMax) {
    ClientScript client;
    Reader reader;
    more = reader.ReadClient(text, client);
    script.troubles = std::min(script.troubles + reader.troubles(), kScriptTroublesMax);
    script.clients.push_back(std::move(client));
  }
  return script;
}

}  // namespace pollux::sim

#pragma once
/// \file  One command of the port under way: its deadline, its answer, and the usual ways from one to the other.
///
/// Shared by the callbacks of the QMP commands that it takes. Answers at most once; with what the port
/// promises (exactly once) it relies on the last QMP command being answered.

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypervisor/guest.hpp"
#include "hypervisor/qemu/attachment.hpp"

namespace segue::qemu {

class Call : public std::enable_shared_from_this<Call> {
public:
    using OnAnswer = std::function<void(Result<GuestAnswer>)>;
    using OnReply = std::function<void(const boost::json::value&)>;

    Call(Attachment& attachment, Duration timeout, OnAnswer on_answer)
        : attachment_(attachment), deadline_(attachment.now() + timeout), on_answer_(std::move(on_answer)) {}

    void answer(Result<GuestAnswer> value) {
        if (on_answer_) std::exchange(on_answer_, nullptr)(std::move(value));
    }
    /// From the loop's next turn, for what is known inside submit already.
    void answer_later(Result<GuestAnswer> value) {
        attachment_.after(Duration{0},
                          [self = shared_from_this(), value = std::move(value)] { self->answer(value); });
    }
    [[nodiscard]] Duration left() const { return std::max(deadline_ - attachment_.now(), Duration{0}); }

    /// `then` gets the reply; a failure is the answer of the whole call.
    void ask(std::string_view command, boost::json::object arguments, OnReply then) {
        attachment_.connection().execute(command, std::move(arguments), left(), handler(std::move(then)));
    }
    /// `then` follows a refusal as well.
    void ask_either_way(std::string_view command, boost::json::object arguments, std::function<void()> then) {
        attachment_.connection().execute(
            command, std::move(arguments), left(),
            [self = shared_from_this(), then = std::move(then)](const Result<boost::json::value>& reply) {
                if (reply || !outcome_unknown(reply.error().kind)) return then();
                self->answer(std::unexpected(reply.error()));
            });
    }
    /// The same as `ask`, out of band where the monitor offers that.
    void ask_ahead(std::string_view command, boost::json::object arguments, OnReply then) {
        if (!attachment_.connection().out_of_band()) return ask(command, std::move(arguments), std::move(then));
        attachment_.connection().execute_out_of_band(command, std::move(arguments), left(), handler(std::move(then)));
    }
    /// A command whose success is the whole answer.
    void order(std::string_view command, boost::json::object arguments) {
        ask(command, std::move(arguments), [self = shared_from_this()](const auto&) { self->answer(Done{}); });
    }
    [[nodiscard]] std::function<void(Result<boost::json::value>)> handler(OnReply then) {
        return [self = shared_from_this(), then = std::move(then)](Result<boost::json::value> reply) {
            if (reply && self->given_up_) return self->answer(put_back_instead());
            if (reply) return then(*reply);
            self->answer(std::unexpected(std::move(reply).error()));
        };
    }

    /// Tries `attempt` again after `pause`, unless the deadline comes before.
    void again(Duration pause, std::string_view waited_for, std::function<void()> attempt) {
        const bool late = left() <= pause;
        attachment_.after(late ? left() : pause,
                          [self = shared_from_this(), late, waited_for, attempt = std::move(attempt)] {
                              if (self->given_up_) return self->answer(put_back_instead());
                              if (!late) return attempt();
                              self->answer(fail(ErrorKind::timed_out, "not in time: " + std::string(waited_for)));
                          });
    }

    /// No step follows those that were taken; whoever waits is told with the next reply or after the next pause.
    void give_up() noexcept { given_up_ = true; }

    [[nodiscard]] Attachment& attachment() noexcept { return attachment_; }

private:
    [[nodiscard]] static std::unexpected<Error> put_back_instead() {
        return fail(ErrorKind::conflict, "given up half-way, since the settings are put back");
    }

    Attachment& attachment_;
    const Instant deadline_;
    OnAnswer on_answer_;
    bool given_up_ = false;
};

/// The calls under way that change QEMU's settings step by step. A monitor takes what was sent in its order, but a
/// step sent after the settings were put back would stay: so putting back gives these up first.
class Changes {
public:
    void add(const std::shared_ptr<Call>& call) {
        std::erase_if(calls_, [](const auto& one) { return one.expired(); });
        calls_.push_back(call);
    }
    void give_up() {
        for (const auto& one : std::exchange(calls_, {})) {
            if (const auto call = one.lock()) call->give_up();
        }
    }

private:
    std::vector<std::weak_ptr<Call>> calls_;
};

}  // namespace segue::qemu

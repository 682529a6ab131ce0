#pragma once
/// \file  One `segue receive` process in virtual time. See dst_host.hpp; its records are kept by receive::Records.

#include "app/sim/dst_host.hpp"
#include "receive/records.hpp"

namespace segue::sim {

class DstReceive : public std::enable_shared_from_this<DstReceive> {
public:
    DstReceive(DstHost& host, std::shared_ptr<ControlLink> link, std::int64_t pid);
    ~DstReceive() = default;
    DstReceive(const DstReceive&) = delete;
    DstReceive& operator=(const DstReceive&) = delete;

    void start();
    void feed(receive::SessionEvent event);
    [[nodiscard]] bool alive() const { return alive_; }
    /// It has QEMU's monitor and pidfd: only then is there news.
    [[nodiscard]] bool attached() const { return alive_ && qemu_known_; }
    [[nodiscard]] bool listens() const { return listens_; }
    [[nodiscard]] const std::shared_ptr<DstGuardian>& guardian() const { return guardian_; }
    [[nodiscard]] const MoveOwner& self() const { return self_; }

    void die();      ///< Killed: the kernel closes what it held.
    void vanish();   ///< Its host lost power.
    void freeze(bool frozen);
    void take_stream();
    void guardian_died();

private:
    void pump();
    void arm();
    void later(Duration delay, receive::SessionEvent event);
    [[nodiscard]] Instant clock() const;
    [[nodiscard]] JournalStamp stamp() const;
    [[nodiscard]] MoveStep step(StepKind kind) const;
    [[nodiscard]] Rng& rng() { return host_.rng_; }

    void perform(const receive::Send& effect);
    void perform(const receive::Recall& effect);
    void perform(const receive::StartQemu& effect);
    void perform(const receive::AttachQemu& effect);
    void perform(const receive::Qemu& effect);
    void perform(const receive::OpenListener& effect);
    void perform(const receive::CloseListener&) { listens_ = false; }
    void perform(const receive::Write& effect);
    void perform(const receive::ClaimGuest&);
    void perform(const receive::Note& effect);
    void perform(const receive::Log& effect);
    void perform(const receive::CloseControl&);
    void perform(const receive::Exit& effect);

    void check_sent(const receive::Message& message);
    void check_continue();
    void check_lease(Instant alive_at);

    // ---- its journal (dst_records.cpp)
    void end_older_session(std::function<void()> then);
    void recall(Journal& journal, int looks);
    [[nodiscard]] Result<receive::Recalled> recalled(Journal& journal);
    [[nodiscard]] bool qemu_alive(const MoveRecord& record) const;
    void close_record(Journal& journal, int exit_status, const receive::HowEnded& how);
    void write(const receive::Write& effect);
    void wrote(receive::Record record, const Result<void>& done);
    void refuse(const Error& error);
    void leave(int status, const receive::HowEnded& how = {});

    void attach_guardian(bool armed);
    void connect_monitor();

    DstHost& host_;
    std::shared_ptr<ControlLink> link_;
    receive::LineReader reader_;
    receive::Session session_;
    JournalWriter writer_;
    std::deque<receive::SessionEvent> events_;
    bool draining_ = false;
    bool alive_ = true;
    bool leaving_ = false;
    bool frozen_ = false;
    bool listens_ = false;
    std::uint64_t timer_ = 0;
    MoveOwner self_;
    receive::Records records_;
    std::string monitor_;        ///< Of the newest `begun`, or recalled.
    std::string asked_monitor_;
    bool qemu_known_ = false;    ///< Its pid goes with the steps to come.
    bool accepted_before_ = false;
    std::optional<Instant> ready_at_;
    std::shared_ptr<DstGuardian> guardian_;
    std::map<std::uint64_t, Instant> leases_;  ///< When each was sent, by the world's clock.
    std::uint64_t word_n_ = 0;
    std::optional<Instant> note_checked_;
};

}  // namespace segue::sim

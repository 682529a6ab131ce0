#include "app/sim/words.hpp"

namespace segue::sim {
namespace {

struct Namer {
    std::string_view operator()(const SrcCommand& c) const { return std::visit(*this, c); }
    std::string_view operator()(const DstCommand& c) const { return std::visit(*this, c); }
    std::string_view operator()(const StreamCommand& c) const { return std::visit(*this, c); }
    std::string_view operator()(const GuardCommand& c) const { return std::visit(*this, c); }
    std::string_view operator()(const BrakeCommand& c) const { return std::visit(*this, c); }
    std::string_view operator()(const FlushImages&) const { return "FlushImages"; }
    std::string_view operator()(const JournalStep&) const { return "JournalStep"; }
    std::string_view operator()(const RunOnSuccess&) const { return "RunOnSuccess"; }
    std::string_view operator()(const SrcInspect&) const { return "SrcInspect"; }
    std::string_view operator()(const SrcSampleDirtying&) const { return "SrcSampleDirtying"; }
    std::string_view operator()(const SrcPrepare&) const { return "SrcPrepare"; }
    std::string_view operator()(const SrcTakeStream&) const { return "SrcTakeStream"; }
    std::string_view operator()(const SrcStop&) const { return "SrcStop"; }
    std::string_view operator()(const SrcStart&) const { return "SrcStart"; }
    std::string_view operator()(const SrcReadProgress&) const { return "SrcReadProgress"; }
    std::string_view operator()(const SrcAllowSwitchover&) const { return "SrcAllowSwitchover"; }
    std::string_view operator()(const SrcContinue&) const { return "SrcContinue"; }
    std::string_view operator()(const SrcCancel&) const { return "SrcCancel"; }
    std::string_view operator()(const SrcYank&) const { return "SrcYank"; }
    std::string_view operator()(const SrcRun&) const { return "SrcRun"; }
    std::string_view operator()(const SrcReadRunState&) const { return "SrcReadRunState"; }
    std::string_view operator()(const SrcAwaitForgotten&) const { return "SrcAwaitForgotten"; }
    std::string_view operator()(const SrcPutBack&) const { return "SrcPutBack"; }
    std::string_view operator()(const SrcAnnounce&) const { return "SrcAnnounce"; }
    std::string_view operator()(const SrcEnd&) const { return "SrcEnd"; }
    std::string_view operator()(const DstInspect&) const { return "DstInspect"; }
    std::string_view operator()(const DstClearAutostart&) const { return "DstClearAutostart"; }
    std::string_view operator()(const DstPrepare&) const { return "DstPrepare"; }
    std::string_view operator()(const DstListen&) const { return "DstListen"; }
    std::string_view operator()(const DstAwaitStream&) const { return "DstAwaitStream"; }
    std::string_view operator()(const DstRun&) const { return "DstRun"; }
    std::string_view operator()(const DstReadRunState&) const { return "DstReadRunState"; }
    std::string_view operator()(const DstKill&) const { return "DstKill"; }
    std::string_view operator()(const DstPutBack&) const { return "DstPutBack"; }
    std::string_view operator()(const DstReadTruth&) const { return "DstReadTruth"; }
    std::string_view operator()(const StreamConnect&) const { return "StreamConnect"; }
    std::string_view operator()(const StreamPace&) const { return "StreamPace"; }
    std::string_view operator()(const StreamLimitSilence&) const { return "StreamLimitSilence"; }
    std::string_view operator()(const StreamRead&) const { return "StreamRead"; }
    std::string_view operator()(const StreamCut&) const { return "StreamCut"; }
    std::string_view operator()(const BrakeOpen&) const { return "BrakeOpen"; }
    std::string_view operator()(const BrakeSet&) const { return "BrakeSet"; }
    std::string_view operator()(const BrakeWatch&) const { return "BrakeWatch"; }
    std::string_view operator()(const BrakeRead&) const { return "BrakeRead"; }
    std::string_view operator()(const BrakeClose&) const { return "BrakeClose"; }
    std::string_view operator()(const GuardStart&) const { return "GuardStart"; }
    std::string_view operator()(const GuardBrief&) const { return "GuardBrief"; }
    std::string_view operator()(const GuardTakeStream&) const { return "GuardTakeStream"; }
    std::string_view operator()(const GuardTakeBrake&) const { return "GuardTakeBrake"; }
    std::string_view operator()(const GuardClaimWord&) const { return "GuardClaimWord"; }
    std::string_view operator()(const GuardClaimRollback&) const { return "GuardClaimRollback"; }
    std::string_view operator()(const GuardNote&) const { return "GuardNote"; }
    std::string_view operator()(const GuardRelease&) const { return "GuardRelease"; }
};

}  // namespace

std::string_view name_of(const Command& command) noexcept { return std::visit(Namer{}, command); }

}  // namespace segue::sim

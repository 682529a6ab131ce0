#pragma once
/// \file  What `--help` prints, and what to write where a value is missing. Text only.

#include <string_view>

namespace segue {

inline constexpr std::string_view help_text =
    R"(Segue moves running virtual machines and keeps the bounds you set.

  segue migrate NAME --to ssh://HOST
                          move a VM that was started from its description
  segue migrate qmp:PATH --to ssh://HOST --dst-qmp PATH --data-address HOST
                          move any guest from one QEMU to another
  segue plan VM ...       what each level of aggression would cost; as migrate
  segue vm start|stop|list|show|check
                          VMs by name (segue help vm)
  segue config explain VM|check
                          which limits hold, and where each is from
  segue doctor            what this host lacks for moves, and the remedies
  segue recover [JOB]     end a move whose segue died, or which ended with 10
  segue status [JOB]      what is under way on this host
  segue cancel JOB        end a move and keep the guest on its source
  segue history           the moves that this host took part in
  segue explain JOB       what a move knew, and why it decided so
  segue replay JOB        its decisions made once more, by a policy you name
  segue help COMMAND      every option, the units and the exit statuses
  segue --version

For example, with at most 0.3 s of standstill:

  segue migrate qmp:/run/a.qmp --to ssh://root@host2 --dst-qmp /run/b.qmp \
        --data-address 10.77.0.2 --max-downtime 300ms --timeout 2min
)";

inline constexpr std::string_view migrate_help_text =
    R"(segue migrate: move a running guest from one QEMU to another, within bounds.

  segue migrate NAME --to HOST [--data-address HOST[:PORT]]
  segue migrate qmp:PATH [--to HOST] --dst-qmp PATH --data-address HOST[:PORT]

From where to where
  NAME                    a VM of segue vm list, built there as it was here
  qmp:PATH                QMP socket of the guest's QEMU (or --src-qmp PATH)
  --to HOST               ssh://[USER@]HOST[:PORT], or cmd:COMMAND that ends in
                          segue receive --stdio there; $SEGUE_SSH: another ssh
  --dst-qmp PATH          QMP socket of the QEMU that waits with -incoming defer
                          on that host; without --to, on this one
  --dst-command WORDS     or how segue receive starts it there; also as JSON
                          (with -qmp unix:PATH,...); neither: as it was here
  --map-path FROM=TO,...  then: folders that have another name there
  --data-address HOST[:PORT]
                          where the memory goes; [IPv6]:PORT; with --to also
                          HOST:FIRST-LAST; with ssh:// it may be left out
  --src-guard-qmp PATH    a second QMP socket of the source, for the guardian

Bounds: where one would break, the guest stays on, or returns to, the source
  --max-downtime TIME     longest standstill of the guest; 10ms to 2000s,
                          default 300ms (or --max-suspend-time TIME)
  --timeout TIME          longest whole attempt; 1s to 30d, default none
  --min-cpu SHARE         least that each vCPU may run; 1% to 100%, default 10%
  --max-stall TIME        longest standstill at a stretch by the brake; 20ms to
                          10s, default half of --max-downtime
  --max-bandwidth RATE    most on the wire; 1MiB/s to 1TB/s, default no cap
  --switchover-bandwidth RATE
                          what the link carries in the standstill, if you know

How
  --aggression LEVEL      0: disturb the guest least; 1: end soonest; usual 0.5
  --brake KIND            cgroup (default), none, or auto-converge (QEMU's own)
  --auto-converge         the same as --brake auto-converge
  --policy NAME           converge (default), patient, or exec:COMMAND
  --on-success COMMAND    run here once it runs there, before its QEMU here ends
  --non-live              stop the guest, then copy: within --timeout alone
  --dry-run               check both sides, forecast, change nothing
  --storage-is-shared     its disks are the same there, where nothing shows it
  --unsafe                move though a disk may be stale, or memory short
  --no-forecast           start at once, without page sampling
  --json                  one JSON object per line on standard output
  -v, --verbose           also say what is decided, and why

Units   TIME: us ms s min h d.  SHARE: %.  RATE: kB/s MB/s GB/s, KiB/s MiB/s
        GiB/s, or kbit/s Mbit/s Gbit/s.
Exit    0 moved   1 failed, guest on the source   2 refused, nothing changed
        3 downtime bound would break   4 timeout   5 cancelled
        9 guest crashed   10 state unknown: segue recover
)";

inline constexpr std::string_view plan_help_text =
    R"(segue plan: what moving a guest would cost at each level of aggression.

  segue plan NAME --to HOST [OPTIONS]
  segue plan qmp:PATH [--to HOST] --dst-qmp PATH --data-address HOST[:PORT]

Checks both hosts, samples for 3.6 to 34 s what the guest writes, and prints a
row for each level: time, standstill, CPU left, stall, lost work, bytes, each
with its band, and the bounds that shape it. Where no level would do, it says
what stands in the way and how far each bound alone would have to give. The
guest runs on; nothing is changed.

Give what the move will be given:
  where   --to --data-address --dst-qmp --dst-command --src-qmp
          --src-guard-qmp --map-path --storage-is-shared --unsafe
  bounds  --max-downtime (or --max-suspend-time) --timeout --min-cpu
          --max-stall --max-bandwidth --switchover-bandwidth
  how     --aggression --brake --auto-converge --policy --on-success --json
          -v, --verbose
segue help migrate says what each means. Without --max-bandwidth and
--switchover-bandwidth the speed of the link is not known: then each row is a
link, from 100 Mbit/s to 25 Gbit/s, at the level of --aggression.

Figures are the middle of a hundred draws (and where 10 and 90 of them lie).
Sampling takes 3.6 s, and where the first pass will take over 5 s for as long
as that, 30 s at most.

Exit    0 shown, also where no level would do   2 refused, with the reason
        5 interrupted   9 the guest's QEMU ended meanwhile

Example
  segue plan web1 --to ssh://root@host2 --max-downtime 300ms \
        --max-bandwidth 100MiB/s
)";

/// What to write after `option`, as the end of a sentence.
[[nodiscard]] constexpr std::string_view value_hint(std::string_view option) {
    if (option == "--max-downtime" || option == "--max-suspend-time") {
        return "give 10 ms to 2000 s, for example --max-downtime 300ms";
    }
    if (option == "--timeout") return "give 1 s to 30 d, for example --timeout 10min";
    if (option == "--max-bandwidth") return "give 1 MiB/s to 1 TB/s, for example --max-bandwidth 100MiB/s";
    if (option == "--switchover-bandwidth") {
        return "give 1 MiB/s to 1 TB/s, for example --switchover-bandwidth 1Gbit/s";
    }
    if (option == "--min-cpu") return "give 1 % to 100 %, for example --min-cpu 20%";
    if (option == "--max-stall") return "give 20 ms to 10 s, for example --max-stall 150ms";
    if (option == "--aggression") return "give a level from 0 to 1, for example --aggression 0.4";
    if (option == "--brake") return "give cgroup, auto-converge or none";
    if (option == "--policy") return "give converge, patient or exec:COMMAND";
    if (option == "--data-address") return "give HOST[:PORT], for example --data-address 10.77.0.2:4444";
    if (option == "--to") return "give ssh://USER@HOST, or cmd:COMMAND that reaches segue receive --stdio";
    if (option == "--on-success") return "give a command for /bin/sh, in quotes: --on-success 'sv down web1'";
    if (option == "--map-path") return "give FROM=TO, for example --map-path /srv/a=/srv/b";
    if (option == "--dst-command") return "give how to start the destination's QEMU on the other host, in quotes";
    return "give the path of a QMP socket, for example /run/b.qmp";
}

}  // namespace segue
